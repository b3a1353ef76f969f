"""What our nodes serve to clients of Go gates, and beside services of Go nodes."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from nano import Component, Group, RequestError, Session, handler
from nano.runtime.answers import Deferred

logger = logging.getLogger(__name__)


class Number(msgspec.Struct):
    """A number, and a text that goes along."""

    n: int = 0
    text: str = ""


class DeskService(Component):
    """One handler for each thing that can go right or wrong; it logs what it sees."""

    def __init__(self) -> None:
        self.counted: dict[int, list[int]] = {}
        self.kept: list[Deferred] = []

    async def start(self) -> None:
        """Have a group."""
        self.group: Group = self.node.group("desk")

    def session_opened(self, session: Session) -> None:
        """Log it: the tests read that."""
        logger.info("OPENED sid=%d", session.id)

    def session_closed(self, session: Session) -> None:
        """Log it: the tests read that."""
        self.counted.pop(session.id, None)
        logger.info("ENDED sid=%d why=%s", session.id, session.closed)

    @handler
    def where(self, session: Session, _: Any) -> dict[str, Any]:
        """Answer which node this is."""
        logger.info("CALL where sid=%d", session.id)
        return {"address": self.node.name, "session": str(session.id)}

    @handler
    def echo(self, session: Session, words: Number) -> Number:
        """Answer what came; and push it, as onEcho."""
        logger.info("CALL echo sid=%d text=%s", session.id, words.text)
        session.push("onEcho", words)
        return words

    @handler
    def tell(self, session: Session, words: Number) -> None:
        """Push what came, as onTold."""
        logger.info("CALL tell sid=%d text=%s", session.id, words.text)
        session.push("onTold", words)

    @handler
    def refuse(self, session: Session, _: Any) -> None:
        """Fail, in words of its own."""
        raise RequestError(418, "no coffee here")

    @handler
    def keep(self, session: Session, _: Any) -> None:
        """Promise an answer, and never give it."""
        self.kept.append(session.defer())

    @handler
    def leave(self, session: Session, _: Any) -> None:
        """Send the client away."""
        session.close("asked to leave")

    @handler
    def count(self, session: Session, number: Number) -> None:
        """Take a number."""
        self.counted.setdefault(session.id, []).append(number.n)

    @handler
    def counted_so_far(self, session: Session, _: Any) -> dict[str, int]:
        """Answer how many numbers came, and how many not behind their predecessor."""
        came = self.counted.get(session.id, [])
        wrong = sum(one + 1 != two for one, two in zip([0, *came], came, strict=False))
        return {"n": len(came), "inversions": wrong}

    @handler
    def pump(self, session: Session, number: Number) -> Number:
        """Push onPump 1 to n, all at once."""
        for n in range(1, number.n + 1):
            session.push("onPump", Number(n))
        return number

    @handler
    def join(self, session: Session, words: Number) -> Number:
        """Make the session a member of the group, bound to the text."""
        session.bind(words.text)
        self.group.add(session)
        return words

    @handler
    def publish(self, session: Session, words: Number) -> None:
        """Tell all members but the session itself."""
        self.group.publish("onPublished", words, without=session)

    @handler
    async def members(self, session: Session, _: Any) -> list[str]:
        """Answer who is in the group."""
        return await self.group.uids()

    @handler
    async def ask(self, session: Session, words: Number) -> Any:
        """Call another node of ours for the session."""
        return await self.node.call("BackService.greet", words, session=session)

    @handler(internal=True)
    def secret(self, session: Session, _: Any) -> dict[str, str]:
        """Answer what clients are not to know."""
        logger.info("CALL secret sid=%d", session.id)
        return {"secret": "none"}


class ChatService(Component):
    """The same service as a Go node's, in part."""

    @handler("Where")
    def where(self, session: Session, _: Any) -> dict[str, str]:
        """Answer which node this is."""
        return {"address": self.node.name, "label": "ours"}


class BackService(Component):
    """Called by nodes, for sessions that others have made known here."""

    @handler(internal=True)
    def greet(self, session: Session, words: Number) -> dict[str, str]:
        """Push to the client, and answer where it was pushed from."""
        session.push("onGreeting", words)
        return {"at": self.node.name}

    def session_closed(self, session: Session) -> None:
        """Log it: the tests read that."""
        logger.info("BACK ENDED sid=%d why=%s", session.id, session.closed)
