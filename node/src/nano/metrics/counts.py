"""The integers that the hot path adds to; they know no label."""

from __future__ import annotations

from collections import Counter

from nano.metrics.histogram import Histogram

__all__ = ["LinkCounts", "ListenerCounts", "RouteCounts"]


class RouteCounts:
    """What one route has seen on this node.

    Args:
        internal: No client reaches it: it has times, and no messages to be told of.

    Attributes:
        requests: Requests that came for it, here or to be forwarded.
        notifies: Notifies that did.
        responses: Answers that were no errors.
        exceptions: How often its handler failed by a mistake of its own.
        request_bytes: The payloads of the requests; so are the others.
        handling: Seconds in the handler, of a sample; of nodes' calls as well.
        queueing: Seconds in which its session was busy with earlier messages.
        answering: Seconds from forwarding a request to its answer, of a sample.
    """

    __slots__ = (
        "answering",
        "exceptions",
        "handling",
        "internal",
        "notifies",
        "notify_bytes",
        "queueing",
        "request_bytes",
        "requests",
        "response_bytes",
        "responses",
    )

    def __init__(self, internal: bool = False) -> None:
        self.internal = internal
        self.requests = 0
        self.notifies = 0
        self.responses = 0
        self.exceptions = 0
        self.request_bytes = 0
        self.notify_bytes = 0
        self.response_bytes = 0
        self.handling = Histogram()
        self.queueing = Histogram()
        self.answering = Histogram()

    def received(self, number: int, size: int) -> None:
        """Count a message of *size* bytes: request *number*, or a notify with none."""
        if number:
            self.requests += 1
            self.request_bytes += size
        else:
            self.notifies += 1
            self.notify_bytes += size

    def deferred(self, number: int, size: int) -> None:
        """Take a message back that waits: it is counted when it goes on."""
        if number:
            self.requests -= 1
            self.request_bytes -= size
        else:
            self.notifies -= 1
            self.notify_bytes -= size

    def answered(self, size: int) -> None:
        """Count an answer of *size* bytes that is no error."""
        self.responses += 1
        self.response_bytes += size


class ListenerCounts:
    """What one listener has seen."""

    __slots__ = ("certificates", "closed", "handshakes", "opened")

    def __init__(self) -> None:
        self.opened = 0
        self.certificates: Counter[str] = Counter()  # new ones, by what became of them
        self.closed: Counter[str] = Counter()  # by reason
        self.handshakes: Counter[str] = Counter()  # by outcome

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return self.opened - self.closed.total()


class LinkCounts:
    """What the links with one peer have carried, behind their greetings."""

    __slots__ = (
        "batches_in",
        "batches_out",
        "bytes_out",
        "envelopes_in",
        "envelopes_out",
    )

    def __init__(self) -> None:
        self.batches_in = 0
        self.batches_out = 0
        self.bytes_out = 0
        self.envelopes_in = 0
        self.envelopes_out = 0

    def received(self, envelopes: int) -> None:
        """Count a batch of so many *envelopes*; who sent it knows its size."""
        self.batches_in += 1
        self.envelopes_in += envelopes

    def sent(self, envelopes: int, size: int) -> None:
        """Count a batch of so many *envelopes* and *size* bytes that was sent."""
        self.batches_out += 1
        self.envelopes_out += envelopes
        self.bytes_out += size
