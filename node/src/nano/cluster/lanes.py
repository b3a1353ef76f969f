"""Calls to one Go node that wait their turn: in order per session, and bounded.

nano's calls are unary, so only one of a session's may be out at a time if their order
is to hold; those of different sessions go side by side.  Nobody waits for them: a
handler puts an :class:`Errand` into the session's lane and goes on, and is told by a
callback if it came to nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import msgspec

from nano.cluster.outbox import CAPACITY, PATIENCE
from nano.cluster.peer import DEADLINE, PeerError
from nano.runtime.session import Delivery

__all__ = ["MOST_WAITING", "PAUSE_AT", "RESUME_AT", "Errand", "Lanes"]

logger = logging.getLogger(__name__)

PAUSE_AT: Final = 32  # errands that wait for one session: its client is not read
RESUME_AT: Final = 8
MOST_WAITING: Final = 4096  # for one session: what is read already when it is paused
MOST_OUT: Final = 256  # calls to one node at a time
OVERHEAD: Final = 200  # bytes of an errand besides its payload, about

BUFFER_FULL: Final = "session send buffer exceed"
"""nano's word for a client that has 16 messages before it: later there may be room."""
FIRST_PAUSE: Final = 0.005  # seconds until such a call is made again
LONGEST_PAUSE: Final = 0.1


class Errand(msgspec.Struct, gc=False):
    """One call that is to be made.

    Attributes:
        name: What it is, for errors: ``HandlePush``.
        call: Makes it, within so many seconds.
        failed: Is told why it came to nothing; at most once.
        size: Bytes that it carries.
        done: Is called when it has arrived.
        patient: It is made again while the receiver's buffer for the client is full.
        due: When it is too late for it; set when it is put into a lane.
    """

    name: str
    call: Callable[[float], Awaitable[None]]
    failed: Callable[[PeerError], None]
    size: int = 0
    done: Callable[[], None] | None = None
    patient: bool = False
    due: float = 0.0


class Lanes:
    """Everything that waits to be said to one Go node.

    Owned by whoever talks to the node; used in one event loop.

    Args:
        address: The node, for errors.
        time: The clock for deadlines.
        eased: Is told of each session of which so little waits that its client can be
            read again.
        deadline: Seconds that an errand may take, waiting included.

    Attributes:
        waiting: Bytes that wait or are under way.
    """

    def __init__(
        self,
        address: str,
        time: Callable[[], float],
        eased: Callable[[int], None],
        deadline: float = DEADLINE,
    ) -> None:
        self.waiting = 0
        self._address = address
        self._time = time
        self._eased = eased
        self._deadline = deadline
        self._lanes: dict[int, deque[Errand]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._out = asyncio.Semaphore(MOST_OUT)
        self._closed = ""

    def __len__(self) -> int:
        """Return how many sessions have errands that wait or are under way."""
        return len(self._lanes)

    def takes(self, session: int, delivery: Delivery = "must") -> bool:
        """Tell whether one more errand of *session* may wait; see :class:`Outbox`."""
        if len(self._lanes.get(session, ())) >= MOST_WAITING:
            return False
        return self.waiting < CAPACITY * (PATIENCE if delivery == "must" else 1)

    def put(self, session: int, errand: Errand) -> int:
        """Have *errand* made behind the others of *session*.

        Returns:
            How many of the session's wait now.
        """
        if self._closed:
            errand.failed(self._error(errand, self._closed))
            return 0
        errand.due = self._time() + self._deadline
        self.waiting += errand.size + OVERHEAD
        lane = self._lanes.get(session)
        if lane is None:
            lane = self._lanes[session] = deque()
            task = asyncio.get_running_loop().create_task(
                self._work(session, lane), name=f"calls to {self._address}"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lane.append(errand)
        return len(lane)

    async def flush(self, timeout: float) -> None:
        """Wait until nothing is left to be said, or *timeout* seconds are over."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout)

    def close(self, reason: str) -> None:
        """Give up what waits and what is under way: the node is gone."""
        self._closed = reason
        for lane in self._lanes.values():
            while lane:
                errand = lane.popleft()
                self.waiting -= errand.size + OVERHEAD
                errand.failed(self._error(errand, reason))
        for task in self._tasks:
            task.cancel()

    # ---------------------------------------------------------------- the work

    async def _work(self, session: int, lane: deque[Errand]) -> None:
        try:
            while lane:
                errand = lane.popleft()
                try:
                    async with self._out:
                        await self._make(errand)
                except asyncio.CancelledError:
                    reason = self._closed or "closed by us"
                    errand.failed(self._error(errand, reason))
                    raise
                except Exception:  # a callback's: the next is none the worse for it
                    logger.exception("%s to %s failed", errand.name, self._address)
                finally:
                    self.waiting -= errand.size + OVERHEAD
                if len(lane) == RESUME_AT:
                    self._eased(session)
        finally:
            del self._lanes[session]
            self._eased(session)

    async def _make(self, errand: Errand) -> None:
        pause = FIRST_PAUSE
        while (left := errand.due - self._time()) > 0:
            try:
                await errand.call(left)
            except PeerError as error:
                full = error.details == BUFFER_FULL and errand.patient
                if not full or errand.due - self._time() <= pause:
                    errand.failed(error)
                    return
            else:
                if errand.done is not None:
                    errand.done()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        late = grpc.StatusCode.DEADLINE_EXCEEDED
        errand.failed(self._error(errand, "waited for too long", late))

    def _error(
        self,
        errand: Errand,
        reason: str,
        status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE,
    ) -> PeerError:
        return PeerError(self._address, errand.name, status, reason)
