"""What the other nodes are for calls."""

from __future__ import annotations

from typing import Protocol

from nano.runtime.callee import unknown
from nano.runtime.session import Session
from nano.runtime.target import Target

__all__ = ["Elsewhere", "Nowhere"]


class Elsewhere(Protocol):
    """The other nodes."""

    def is_for_home(self, session: Session | None) -> bool:
        """Whether a call for *session* is to be passed on by its home, not here."""

    def find(self, route: str, session: Session | None, target: Target) -> str | None:
        """Return a member that *target* means; ``None``: this node.

        Raises:
            RequestError: There is none that serves *route*.
        """

    def everyone(self, route: str, kind: str) -> list[str]:
        """Return all members that serve *route*, this one and those out of reach, too.

        Args:
            route: What they serve.
            kind: What they are; anything if empty.

        Raises:
            RequestError: Nobody has ever served it, or it is not known yet who does.
        """

    def send(
        self,
        route: str,
        session: Session | None,
        number: int,
        payload: bytes,
        member: str = "",
    ) -> object:
        """Send a call to a member that serves *route*.

        Args:
            route: What is called.
            session: For whom.
            number: The call's number; 0: no answer is wanted.
            payload: What the handler gets.
            member: To whom; any, if empty.

        Returns:
            Where it went: what the answer has to come from.

        Raises:
            RequestError: Nobody serves it, or whoever does is overloaded.
        """


class Nowhere:
    """There are no other nodes."""

    def is_for_home(self, session: Session | None) -> bool:
        """Every session is at home here."""
        return False

    def find(self, route: str, session: Session | None, target: Target) -> str | None:
        """Nobody serves anything."""
        raise unknown()

    def everyone(self, route: str, kind: str) -> list[str]:
        """Nobody serves anything."""
        raise unknown()

    def send(
        self,
        route: str,
        session: Session | None,
        number: int,
        payload: bytes,
        member: str = "",
    ) -> object:
        """Nobody serves anything."""
        raise unknown()
