"""Gates leave, and clients outside the cluster hardly notice.

What clients see of all the rest is looked at from inside, in ``test_clients``.  This
module comes before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from .cluster import Cluster, until
from .conftest import Echo
from .crowd import crowd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

log = logging.getLogger("e2e")
CLIENTS = 50
GATES = "nanocluster.io/role=gate"


@pytest.mark.parametrize("processes", [2, 1])
async def test_new_gates_take_over_the_clients_of_the_old(
    cluster: Cluster, echo: Echo, processes: int
) -> None:
    before = cluster.pods(GATES)
    change = [{"op": "add", "path": "/spec/gates/processes", "value": processes}]
    patch = ("patch", "nanocluster", "echo", "--type=json", "--patch")
    ready = ("wait", "--for=condition=Ready", "nanocluster/echo", "--timeout=120s")
    async with crowd(echo.tcp, CLIENTS) as seen:
        await seen.more(CLIENTS)
        seen.forget()
        cluster.kubectl(*patch, json.dumps(change))
        await asyncio.to_thread(
            until, lambda: not before & cluster.pods(GATES), "the old gates gone", 180
        )
        await asyncio.to_thread(cluster.kubectl, *ready, seconds=130)
        await seen.more(5 * CLIENTS)
        log.info("gates replaced, %d processes in each: %s", processes, seen)
        assert not seen.troubles
        assert seen.reconnects == [1] * CLIENTS
        members = await asyncio.to_thread(cluster.nano, "members", "echo")
    roles = [line.split()[1] for line in members.splitlines()]
    assert roles.count("gate") == processes * len(cluster.pods(GATES))
