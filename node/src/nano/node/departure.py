"""How a node leaves without losing anything: its drain, stage by stage.

=========  ===========================================================================
settling   A gate is not ready any more, and still lets clients in: load balancers take
           a while to notice.
sending    It lets nobody in, and sends its clients to other gates: each once its
           requests are answered, and so many a second.
moving     A backend waits until the gates have moved its sessions to others of its
           kind; :mod:`nano.cluster.mover` does that, at the gates.
finishing  What is in hand is finished: handlers that run, answers that are promised.
=========  ===========================================================================

All stages together have one deadline.  When it is over, or the last stage, the node
stops as it always does; what is left then is told so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final

from nano.cluster.drains import Drains
from nano.cluster.routes import Forwarder
from nano.node.gate import Entrance
from nano.node.options import Role
from nano.runtime.dispatch import Dispatcher
from nano.runtime.session import Session
from nano.transports.context import Arriving
from nano_manifest import Settings

__all__ = ["STAGES", "Departure", "Stage", "pace"]

logger = logging.getLogger(__name__)

STEP: Final = 0.1  # seconds between two looks at what is left
PATIENCE: Final = 2.0  # seconds that a client which is to go may wait for its answers
RESERVE: Final = 5.0  # seconds before the deadline at which all clients are told
LEAVING: Final = "leaving"  # who holds a session whose client is about to go


class Stage(Enum):
    """Where a drain stands."""

    SETTLING = "settling"
    SENDING = "sending"
    MOVING = "moving"
    FINISHING = "finishing"
    DONE = "done"


STAGES: Final[Mapping[Role, tuple[Stage, ...]]] = MappingProxyType(
    {
        Role.MASTER: (),
        Role.GATE: (Stage.SETTLING, Stage.SENDING, Stage.FINISHING),
        Role.BACKEND: (Stage.MOVING, Stage.FINISHING),
    }
)


def pace(clients: int, seconds: float, rate: float) -> float:
    """Return how many clients a second are told to go.

    Args:
        clients: How many are left.
        seconds: Until the last should have been told.
        rate: So many at least.
    """
    return max(rate, clients / max(seconds, STEP))


class Departure:
    """One node's drain.

    Args:
        role: What the node is.
        settings: How long it may take, and how fast clients are sent away.
        time: The clock.
        drains: Tells the peers.
        dispatcher: What is in hand.
        listeners: Where clients come in.
        forwarder: Which clients wait for answers of others.

    Attributes:
        stage: Where it stands; ``None`` before it begins.
    """

    def __init__(
        self,
        role: Role,
        settings: Settings,
        *,
        time: Callable[[], float],
        drains: Drains,
        dispatcher: Dispatcher,
        listeners: Sequence[Entrance],
        forwarder: Forwarder | None,
    ) -> None:
        self.stage: Stage | None = None
        self._stages = STAGES[role]
        self._settings = settings
        self._time = time
        self._drains = drains
        self._dispatcher = dispatcher
        self._listeners = listeners
        self._forwarder = forwarder
        self._due = 0.0
        self._going: dict[Arriving, float] = {}  # held: when it is told in any case
        self._told: set[Arriving] = set()
        self._acts = {
            Stage.SETTLING: self._settle,
            Stage.SENDING: self._send,
            Stage.MOVING: self._move,
            Stage.FINISHING: self._finish,
        }

    async def run(self) -> None:
        """Go through all stages, or until time is up."""
        limit = self._settings.drain_seconds
        self._due = self._time() + limit
        self._drains.begin()
        try:
            async with asyncio.timeout(limit):
                for stage in self._stages:
                    self.stage = stage
                    logger.info("draining: %s", stage.value)
                    await self._acts[stage]()
        except TimeoutError:
            text = "not drained in %g s: %d clients and %d handlers are left"
            logger.warning(text, limit, len(self.clients), self._in_hand())
        self.stage = Stage.DONE

    @property
    def clients(self) -> list[Arriving]:
        """Those that are connected."""
        return [it for listener in self._listeners for it in listener.clients]

    async def _settle(self) -> None:
        await asyncio.sleep(self._settings.settle_seconds)

    async def _send(self) -> None:
        for listener in self._listeners:
            listener.shut()
        credit = 0.0
        while clients := self.clients:
            now = self._time()
            known = self._told | self._going.keys()
            left = [it for it in clients if it not in known]
            rate = pace(
                len(left), self._due - RESERVE - now, self._settings.moves_per_second
            )
            credit = min(credit + rate * STEP, len(left))
            for client in left[: int(credit)]:
                if client.session is not None:
                    client.session.hold(LEAVING)
                self._going[client] = now + PATIENCE
            credit -= int(credit)
            self._tell(now)
            await asyncio.sleep(STEP)

    def _tell(self, now: float) -> None:
        """Send those away who wait for nothing, or have waited long enough."""
        waiting = self._waiting()
        for client, due in list(self._going.items()):
            session = client.session
            if session is None or now >= due or _is_idle(session, waiting):
                del self._going[client]
                self._told.add(client)
                client.stop()

    def _waiting(self) -> set[int]:
        """Return the ids of the sessions that wait for an answer."""
        waiting = self._dispatcher.answers.holders()
        if self._forwarder is not None:
            waiting |= self._forwarder.asking()
        return waiting

    async def _move(self) -> None:
        while self._drains.waiting:  # noqa: ASYNC110  # the deadline is around it
            await asyncio.sleep(STEP)

    async def _finish(self) -> None:
        while self._in_hand():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(STEP)

    def _in_hand(self) -> int:
        dispatcher = self._dispatcher
        return len(dispatcher.tasks) + len(dispatcher.answers.holders())


def _is_idle(session: Session, waiting: set[int]) -> bool:
    return session.turns.over and session.id not in waiting
