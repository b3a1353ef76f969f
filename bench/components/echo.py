"""The component that the bench serves: as much work as ``EchoService`` of the Go peer.

Not that of ``examples/echo``, which answers more than it was sent.
"""

from __future__ import annotations

import msgspec

from nano import Component, Session, handler


class Words(msgspec.Struct):
    """What comes and goes; bytes handed through would measure no serializer."""

    text: str


class EchoService(Component):
    """Says back what it hears."""

    @handler
    def echo(self, session: Session, words: Words) -> Words:
        """Answer the text."""
        return Words(text=words.text)
