"""Pipelines: what an application does to the payloads of one listener.

nano's two channels: *inbound* functions see every message of a client before it is
handled or forwarded, *outbound* functions every message to a client before it is put
into bytes.  Both run on the gate, whichever node a handler is on (in nano, inbound
functions run where the handler is, so that both ends of an encryption had to be split
over two nodes).  A function may change ``message.payload``, and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from nano.errors import UsageError

if TYPE_CHECKING:
    from nano.protocol.messages import Message
    from nano.runtime.session import Session

__all__ = ["Channel", "Pipeline", "Pipelines", "Stage"]

Stage = Callable[["Session", "Message"], None]


class Channel:
    """Functions that see the messages of one direction, one after the other.

    Attributes:
        stages: The functions, in order.
    """

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def push_front(self, stage: Stage) -> None:
        """Have *stage* called before all others."""
        self.stages.insert(0, stage)

    def push_back(self, stage: Stage) -> None:
        """Have *stage* called after all others."""
        self.stages.append(stage)

    def process(self, session: Session, message: Message) -> None:
        """Run *message* through the functions; what one raises ends it.

        Raises:
            TypeError: A function has left something else than bytes as the payload.
        """
        for stage in self.stages:
            stage(session, message)
            if type(message.payload) is not bytes:
                kind = type(message.payload).__qualname__
                text = f"{stage!r} of a pipeline left a payload of type {kind}"
                raise TypeError(text)


class Pipeline:
    """Both directions of one listener.

    Attributes:
        inbound: From clients.  A :class:`~nano.errors.RequestError` refuses the
            message with that answer; any other exception as an internal error.
        outbound: To clients: responses, whose ``route`` is empty, and pushes.  What
            raises is logged, and its message is dropped and counted.
    """

    def __init__(self) -> None:
        self.inbound = Channel()
        self.outbound = Channel()


class Pipelines:
    """The pipelines of one node's listeners.

    Args:
        listeners: Their names; none on a node that is no gate.
    """

    def __init__(self, listeners: Iterable[str] = ()) -> None:
        self._pipelines = {name: Pipeline() for name in listeners}

    def of(self, listener: str) -> Pipeline:
        """Return the pipeline of *listener*.

        Raises:
            UsageError: This node has no such listener.
        """
        try:
            return self._pipelines[listener]
        except KeyError:
            known = ", ".join(self._pipelines) or "none: only gates have listeners"
            message = f"there is no listener {listener!r} here; there are: {known}"
            raise UsageError(message) from None
