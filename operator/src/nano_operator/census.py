"""Asks the nodes of every cluster how many clients they have, once in a while.

Beside the reconciles, which never wait for a node: they take what was counted last
(:meth:`Census.latest`).  A cluster is looked at again only when its figures have moved
so far that its status should tell (:meth:`nano_operator.figures.Figures.coarse`).

The one exception is the moment in which gates are chosen that have to go:
:meth:`Census.take` counts then and there, and has a deadline.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, cast

import msgspec

from nano_operator.controller import Key
from nano_operator.errors import ApiError
from nano_operator.figures import Figures, Said, figures_of
from nano_operator.metrics import Metrics
from nano_operator.names import (
    GATE,
    MASTER,
    nodes_selector,
    secret_name,
    written,
)
from nano_operator.objects import PODS, Kind, Object, Pod, Resource
from nano_operator.resources.secret import TOKEN_KEY

__all__ = ["SECONDS", "Ask", "Census", "CensusApi"]

SECONDS: Final = 30.0
"""Between two counts of the same cluster, unless somebody says otherwise."""

AT_ONCE: Final = 4  # clusters that are counted side by side

Ask = Callable[[Mapping[str, str], str], Awaitable[Mapping[str, Said]]]
"""Asks the nodes at these addresses, by names, with this token; tells who said what.

Who does not answer within a few seconds is left out; it never raises.
"""

logger = logging.getLogger("nano_operator")


class CensusApi(Protocol):
    """What counting needs of an API server."""

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = ""
    ) -> list[Object]:
        """Return the objects with these labels."""
        ...

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, or None when it is not there."""
        ...


class Census:
    """The last figures of each cluster that somebody has asked about.

    Args:
        api: Lists pods, and has the token of their control ports.
        ask: Asks nodes.
        metrics: Where to count.
        seconds: Between two counts of the same cluster.
    """

    def __init__(
        self,
        api: CensusApi,
        ask: Ask,
        metrics: Metrics | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._api = api
        self._ask = ask
        self._metrics = metrics or Metrics()
        self._seconds = seconds
        self._latest: dict[Key, Figures | None] = {}
        self._told: dict[Key, Figures] = {}

    def latest(self, key: Key) -> Figures | None:
        """Return what was counted last; from now on the cluster is counted."""
        return self._latest.setdefault(key, None)

    def forget(self, key: Key) -> None:
        """Count a cluster no more: it is gone."""
        self._latest.pop(key, None)
        self._told.pop(key, None)

    async def take(self, key: Key) -> Figures:
        """Count one cluster now.

        Raises:
            ApiError: The API server did not list its pods or give its token.
        """
        labels = written(nodes_selector(key.name))
        listed = await self._api.list(PODS, key.namespace, labels=labels)
        pods = [msgspec.convert(raw, Pod) for raw in listed]
        token = await self._token(key)
        asked = {
            pod.metadata.name: pod.status.pod_ip
            for pod in pods
            if pod.role in (MASTER, GATE) and pod.is_running and pod.status.pod_ip
        }
        answers = await self._ask(asked, token) if asked and token else {}
        for result, count in (
            ("answered", len(answers)),
            ("silent", len(asked) - len(answers)),
        ):
            self._metrics.asked.labels(result).inc(count)
        figures = figures_of(pods, answers)
        if key in self._latest:
            self._latest[key] = figures
        return figures

    async def run(self, changed: Callable[[Key], Awaitable[None]]) -> None:
        """Count all clusters again and again, until cancelled.

        *changed* is told of those whose status should be written anew.
        """
        turns = asyncio.Semaphore(AT_ONCE)

        async def count(key: Key) -> None:
            async with turns:
                try:
                    figures = await self.take(key)
                except (ApiError, msgspec.ValidationError) as error:
                    logger.warning("%s: its nodes are not counted: %s", key, error)
                    return
                except Exception:
                    logger.exception("%s: counting failed unexpectedly", key)
                    return
            before = self._told.get(key)
            coarse = figures.coarse(before)
            if coarse != before and key in self._latest:
                self._told[key] = coarse
                await changed(key)

        while True:
            await asyncio.gather(*map(count, list(self._latest)))
            await asyncio.sleep(self._seconds)

    async def _token(self, key: Key) -> str:
        """Return the token of the control ports; empty if there is none."""
        name = secret_name(key.name)
        found = await self._api.get(Kind.SECRET.resource, key.namespace, name)
        data = cast("Object", (found or {}).get("data") or {})
        try:
            return base64.b64decode(str(data.get(TOKEN_KEY, ""))).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            return ""
