"""Which of several operators works: the one that holds the Lease.

The rules are client-go's: the holder renews every 2 s and stops when it could not
for 10 s; the others take a Lease over that has not changed for 15 s.  Everybody
measures with a clock of his own and believes no time that another one wrote, so
clocks that disagree do no harm.  The Lease itself belongs to whoever installs the
operator, and goes with it; nobody else makes one.

``kubernetes.aio.leaderelection`` is not used: its requests have no deadline and it
looks at the wall clock, so a holder whose request hangs works on beside the next
one; a broken connection ends it; and it never gives a Lease back, which would make
each update of the operator a pause of 15 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, cast

from nano_operator.errors import ApiError, ConflictError, OperatorError
from nano_operator.objects import Object, Resource

__all__ = ["LEASES", "Lease", "LeaseLostError"]

LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")

LEASE_SECONDS: Final = 15
DEADLINE_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 2.0
RELEASE_SECONDS: Final = 3.0

logger = logging.getLogger("nano_operator")


class LeaseLostError(OperatorError):
    """Another operator may be at work: this one has to stop at once."""


class LeaseApi(Protocol):
    """What an election needs of an API server."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, or None."""
        ...

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Write an object if it is still as it was read."""
        ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a Lease said, and since when it says so by our clock."""

    said: Object
    since: float


class Lease:
    """One candidate for one Lease.

    Args:
        api: The API server.
        namespace: Where the Lease is.
        name: What it is called.
        identity: Who this is; no other process has the same, nor an earlier life.
        clock: The time in seconds, from any origin.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._sleep = sleep
        self._seen: _Seen | None = None
        self._renewed = clock()

    async def acquire(self) -> None:
        """Return as soon as the Lease is ours."""
        while not await self._attempt():
            await self._sleep(RENEW_SECONDS)

    async def keep(self) -> None:
        """Renew the Lease for ever.

        Raises:
            LeaseLostError: Somebody has it, or it could not be renewed in time.
        """
        while True:
            await self._sleep(RENEW_SECONDS)
            if await self._attempt():
                continue
            holder = self._holder()
            if holder not in ("", self._identity):
                message = f"{holder} has taken over"
                raise LeaseLostError(message)
            if self._clock() - self._renewed >= DEADLINE_SECONDS:
                message = f"the Lease {self._name} could not be renewed in time"
                raise LeaseLostError(message)

    async def release(self) -> None:
        """Give the Lease back, so that another operator need not wait."""
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                found = await self._api.get(LEASES, self._namespace, self._name)
                spec = _spec(found)
                if found is None or spec.get("holderIdentity") != self._identity:
                    return
                freed = found | {"spec": spec | {"holderIdentity": ""}}
                await self._api.replace(LEASES, freed)

    async def _attempt(self) -> bool:
        """Try to take or renew the Lease, and tell whether that succeeded."""
        begun = self._clock()
        left = max(0.1, DEADLINE_SECONDS - (begun - self._renewed))
        if self._holder() != self._identity:
            left = DEADLINE_SECONDS
        try:
            async with asyncio.timeout(left):
                held = await self._take()
        except ConflictError:
            return False  # another one was faster: the next look tells who
        except (ApiError, TimeoutError) as error:
            said = str(error) or f"no answer in {left:.0f} s"
            logger.warning("the Lease %s: %s", self._name, said)
            return False
        if held:
            self._renewed = begun
        return held

    async def _take(self) -> bool:
        found = await self._api.get(LEASES, self._namespace, self._name)
        if found is None:
            text = "there is no Lease %s/%s: the chart makes it"
            logger.warning(text, self._namespace, self._name)
            return False
        self._remember(found)
        if not self._is_free():
            return False
        claimed = found | {"spec": self._claim(_spec(found))}
        self._remember(await self._api.replace(LEASES, claimed))
        return True

    def _is_free(self) -> bool:
        assert self._seen is not None
        if self._holder() in ("", self._identity):
            return True
        duration = cast("int", self._seen.said.get("leaseDurationSeconds") or 0)
        return self._clock() - self._seen.since >= duration

    def _claim(self, before: Object) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = before.get("holderIdentity") == self._identity
        changes = cast("int", before.get("leaseTransitions") or 0)
        return before | {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": before.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": changes if ours or not before else changes + 1,
        }

    def _remember(self, lease: Object) -> None:
        said = _spec(lease)
        if self._seen is None or self._seen.said != said:
            self._seen = _Seen(said, self._clock())

    def _holder(self) -> str:
        return str(self._seen.said.get("holderIdentity") or "") if self._seen else ""


def _spec(lease: Object | None) -> Object:
    return cast("Object", (lease or {}).get("spec") or {})
