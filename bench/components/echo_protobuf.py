"""The component that the bench serves with Protocol Buffers.

As much work as ``PbEchoService`` of the Go peer: the value is decoded into an object,
another one is made and encoded.
"""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import StringValue

from nano import Component, Session, handler


class EchoService(Component):
    """Says back what it hears."""

    @handler
    def echo(self, session: Session, words: StringValue) -> StringValue:
        """Answer the text."""
        return StringValue(value=words.value)
