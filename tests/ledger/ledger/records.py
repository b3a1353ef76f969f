"""What is written down: a line of the journal, and the log of a client."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Self, get_args

import msgspec

__all__ = ["ClientLog", "Kind", "News", "Record"]

Kind = Literal["ran", "pushed", "published"]
KINDS: Final[dict[str, Kind]] = {kind: kind for kind in get_args(Kind)}


class Record(NamedTuple):
    """One line of the journal: what a handler has done.

    Attributes:
        run: The case that it belongs to.
        kind: A request was executed, or something was pushed to its client, or
            published to all clients of the run.
        client: Whose request it was.
        number: Which of that client's requests, from 0 on.
        node: Where the handler has run.
    """

    run: str
    kind: Kind
    client: int
    number: int
    node: str

    @property
    def line(self) -> str:
        """The record as it is written."""
        return f"{self.run} {self.kind} {self.client} {self.number} {self.node}"

    @classmethod
    def of(cls, line: str) -> Self:
        """Read a line.

        Raises:
            ValueError: It is none.
        """
        run, kind, client, number, node = line.split()
        if kind not in KINDS:
            message = f"a record is one of {', '.join(KINDS)}, not {kind!r}"
            raise ValueError(message)
        return cls(run, KINDS[kind], int(client), int(number), node)


class News(NamedTuple):
    """What is published to all clients of a run.

    Attributes:
        client: Whose request made the handler publish.
        number: Which of that client's requests.
        node: Where the handler has run; what one node publishes comes in order.
        last: The client will ask no more.
    """

    client: int
    number: int
    node: str
    last: bool


class ClientLog(msgspec.Struct):
    """What one client has seen; a line of JSON.

    Attributes:
        client: Its number.
        sent: How many requests it has made, numbered from 0 on.
        answered: Those that were answered 200, in the order of the answers.
        failed: What came of the others, and seconds after the start, by number.
        pushed: The numbers that were pushed to it, as they came.
        news: What was published, as it came.
        losses: Why each connection that has ended did, and when.
        reconnects: How often it came back.
    """

    client: int
    sent: int = 0
    answered: list[int] = []
    failed: dict[int, str] = {}
    pushed: list[int] = []
    news: list[News] = []
    losses: list[str] = []
    reconnects: int = 0
