"""The smallest component: it answers, and it pushes."""

from __future__ import annotations

import msgspec

from nano import Component, Session, handler


class Words(msgspec.Struct):
    """What a client sends: ``{"text": "hello"}``; anything else is answered 400."""

    text: str


class EchoService(Component):
    """Says back what it hears."""

    @handler
    def echo(self, session: Session, words: Words) -> dict[str, str]:
        """Answer a request with its own text, and the node that has answered."""
        return {"text": words.text, "node": self.node.name}

    @handler
    def shout(self, session: Session, words: Words) -> None:
        """Take a notify, and push its text back in capitals as ``onShout``."""
        session.push("onShout", {"text": words.text.upper()})
