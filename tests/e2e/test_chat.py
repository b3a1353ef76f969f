"""examples/chat on pods, as ``make kind`` brings it up: Ready, spread, and talking.

Clients are outside and come by the machine's ports, as browsers do.  This module comes
before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import pytest

from nano.client import Client, connect
from nano.version import __version__

from .cluster import Cluster, Object
from .conftest import HOST, NODE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

log = logging.getLogger("e2e")

SPACE: Final = "chat"
IN: Final = ("--namespace", SPACE)
IMAGE: Final = f"nanocluster-chat:{__version__}"
FILES: Final = ("examples/chat/page-service.yaml", "examples/chat/cluster.yaml")
GATES: Final = f"ws://{HOST}:30252/nano"
PAGE: Final = f"http://{HOST}:30280/"
ROOMS: Final = "nanocluster.io/cluster=chat,nanocluster.io/backend=room"
ZONE: Final = "topology.kubernetes.io/zone"
PAUSE: Final = 0.5  # seconds between two clients that come
SECONDS_TO_READY: Final = 60


@pytest.fixture(scope="module")
def chat(operator: Cluster) -> Iterator[Cluster]:
    """The chat, Ready within a minute of being applied."""
    operator.load([NODE, IMAGE])
    with operator.space(SPACE):
        secret = ("create", "secret", "generic", "chat")
        key = "--from-file=CHAT_SECRET=/dev/stdin"
        operator.kubectl(*IN, *secret, key, stdin=secrets.token_urlsafe(32))
        start = time.monotonic()
        operator.kubectl(*IN, "apply", *(f"--filename={name}" for name in FILES))
        ready = ("wait", "--for=condition=Ready", "nanocluster/chat")
        limit = f"--timeout={SECONDS_TO_READY}s"
        operator.kubectl(*IN, *ready, limit, seconds=SECONDS_TO_READY + 10)
        operator.measured["chat Ready"] = time.monotonic() - start
        yield operator


def zones(cluster: Cluster, selector: str) -> list[str]:
    """Return the zone of each pod, sorted."""
    zone_of: dict[object, str] = {}
    for node in cluster.objects("nodes"):
        head = cast(dict[str, dict[str, str]], node["metadata"])
        zone_of[head["name"]] = head["labels"].get(ZONE, "")
    pods = cluster.objects("pods", *IN, "--selector", selector)
    return sorted(zone_of[cast(Object, pod["spec"])["nodeName"]] for pod in pods)


def post(path: str, body: object) -> Any:
    """Send JSON to the page's backend; return what it answers."""
    request = urllib.request.Request(PAGE + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def kill(cluster: Cluster, node: str) -> None:
    """Remove at once the pod whose node is called so, ``address:port``."""
    for pod in cluster.objects("pods", *IN, "--selector", ROOMS):
        status = cast(Object, pod["status"])
        if node.startswith(f"{status['podIP']}:"):
            name = str(cast(Object, pod["metadata"])["name"])
            cluster.kubectl(*IN, "delete", "pod", name, "--grace-period=0", "--force")
            return
    raise AssertionError(f"there is no pod of {node}")


async def enter(name: str, stack: AsyncExitStack) -> tuple[Client, str]:
    """Log in as the page does; return the client and its gate."""
    ticket = (await asyncio.to_thread(post, "login", {"nickname": name}))["ticket"]
    client = await connect(GATES, user={"ticket": ticket})
    await stack.enter_async_context(client)
    entered = await client.request("BindService.Login", {"room": "lobby"})
    return client, entered["gate"]


async def test_the_page_is_served_and_names_the_way_to_the_gates(chat: Cluster) -> None:
    def load() -> str:
        with urllib.request.urlopen(PAGE, timeout=10) as answer:
            return str(answer.read().decode())

    assert "<title>" in await asyncio.to_thread(load)
    given = await asyncio.to_thread(post, "login", {"nickname": "guide"})
    assert (given["port"], given["path"]) == (30252, "/nano")


@pytest.mark.parametrize("role", ["gate", "backend,nanocluster.io/backend=room"])
def test_the_pods_of_a_role_are_in_different_zones(chat: Cluster, role: str) -> None:
    found = zones(chat, f"nanocluster.io/cluster=chat,nanocluster.io/role={role}")
    if not any(found):
        pytest.skip("the nodes of this cluster have no zones")
    assert len(found) == len(set(found)) == 2


async def test_clients_at_both_gates_talk_on_while_a_room_backend_dies(
    chat: Cluster,
) -> None:
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        async with asyncio.timeout(60):  # a Service may not know both gates at once
            for number in itertools.count():
                client, gate = await enter(f"user {number}", stack)
                clients.setdefault(gate, client)
                if len(clients) == 2:
                    break
                await asyncio.sleep(PAUSE)
        one, other = clients.values()
        heard = other.pushes("onMessage")

        async def said(text: str) -> str:
            """Say it at one gate; return the backend by which the other heard it."""
            message = {"content": text, "id": secrets.token_hex(8)}
            await one.request("RoomService.SyncMessage", message)
            async with asyncio.timeout(30):
                async for push in heard:
                    if push["content"] == text:
                        return str(push["node"])
            raise AssertionError("the pushes have ended")

        first = await said("is anybody here?")
        await asyncio.to_thread(kill, chat, first)
        second = first
        async with asyncio.timeout(60):
            # the pod is gone from the API before its kubelet has stopped it
            while second == first:
                second = await said("still here?")
                await asyncio.sleep(PAUSE)
        log.info("%s was killed, %s went on", first, second)
        assert second != first
        assert not one.closed
        assert not other.closed


def test_nothing_was_denied(chat: Cluster) -> None:
    assert chat.denials(SPACE) == []
