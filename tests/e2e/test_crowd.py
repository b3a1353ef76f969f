"""Nodes leave, and clients outside the cluster hardly notice.

This module comes before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import pytest

from .cluster import Cluster, Object, until
from .conftest import Echo
from .crowd import Crowd, crowd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

log = logging.getLogger("e2e")
CLIENTS = 50
ROLE = "nanocluster.io/role"


def names(cluster: Cluster, role: str) -> set[str]:
    """Return the names of the pods of *role*, those that leave among them."""
    pods = cluster.objects("pods", f"--selector={ROLE}={role}")
    return {_name(pod) for pod in pods}


def _name(pod: Object) -> str:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


def patch(cluster: Cluster, path: str, value: object) -> None:
    """Change one field of the NanoCluster."""
    change = [{"op": "add", "path": path, "value": value}]
    cluster.kubectl(
        "patch", "nanocluster", "echo", "--type=json", f"--patch={json.dumps(change)}"
    )


async def during(
    cluster: Cluster, seen: Crowd, what: str, done: Callable[[], object]
) -> None:
    """Wait until *done* holds and the crowd was served meanwhile and after it."""
    await asyncio.to_thread(until, done, what, 180)
    await asyncio.to_thread(
        cluster.kubectl,
        *("wait", "--for=condition=Ready", "nanocluster/echo", "--timeout=120s"),
        seconds=130,
    )
    await seen.more(5 * CLIENTS)
    log.info("%s: %s", what, seen)


async def test_new_backends_replace_the_old_without_a_word_to_clients(
    cluster: Cluster, echo: Echo
) -> None:
    before = names(cluster, "backend")
    async with crowd(echo.tcp, CLIENTS) as seen:
        await seen.more(CLIENTS)
        seen.forget()
        patch(cluster, "/spec/backends/0/env", [{"name": "ROUND", "value": "2"}])
        await during(
            *(cluster, seen, "backends replaced"),
            lambda: not before & names(cluster, "backend"),
        )
        assert not seen.troubles
        assert seen.lost == 0
        assert seen.reconnects == []


async def test_fewer_backends_serve_all(cluster: Cluster, echo: Echo) -> None:
    async with crowd(echo.tcp, CLIENTS) as seen:
        await seen.more(CLIENTS)
        seen.forget()
        patch(cluster, "/spec/backends/0/replicas", 1)
        await during(
            *(cluster, seen, "two backends to one"),
            lambda: len(names(cluster, "backend")) == 1,
        )
        assert not seen.troubles
        assert seen.lost == 0
        assert seen.reconnects == []
    patch(cluster, "/spec/backends/0/replicas", 2)
    cluster.kubectl(
        *("wait", "--for=condition=Ready", "nanocluster/echo", "--timeout=120s"),
        seconds=130,
    )


async def test_a_master_that_is_killed_is_not_missed(
    cluster: Cluster, echo: Echo
) -> None:
    before = names(cluster, "master")
    async with crowd(echo.tcp, CLIENTS) as seen:
        await seen.more(CLIENTS)
        seen.forget()
        cluster.kubectl("delete", "pods", *before, "--grace-period=0", "--force")
        await during(
            *(cluster, seen, "the master killed"),
            lambda: not before & names(cluster, "master"),
        )
        assert not seen.troubles
        assert seen.lost == 0
        assert seen.reconnects == []


async def test_new_gates_take_over_the_clients_of_the_old(
    cluster: Cluster, echo: Echo
) -> None:
    before = names(cluster, "gate")
    async with crowd(echo.tcp, CLIENTS) as seen:
        await seen.more(CLIENTS)
        seen.forget()
        patch(cluster, "/spec/gates/env", [{"name": "ROUND", "value": "2"}])
        await during(
            *(cluster, seen, "gates replaced"),
            lambda: not before & names(cluster, "gate"),
        )
        assert not seen.troubles
        assert seen.reconnects == [1] * CLIENTS
