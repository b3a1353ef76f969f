"""Coming up and going down: in order, and with errors that tell what to do."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from nano.client import connect
from nano.errors import RequestError, UsageError
from nano.local.ports import free_ports
from nano.node import Node, NodeOptions, Role
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import APP_DIR, manifest, options, until

pytestmark = pytest.mark.process


Make = Callable[[NodeOptions], Node]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make nodes that are stopped at the end, whatever happens."""
    async with AsyncExitStack() as stack:

        def made(given: NodeOptions) -> Node:
            node = Node(given)
            stack.push_async_callback(node.stop)
            return node

        yield made


@pytest.fixture
async def master(make: Make) -> Node:
    node = make(options(Role.MASTER))
    await node.start()
    return node


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


# ------------------------------------------------------------------ wrong options


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"role": Role.BACKEND, "backend": "shop", "master": "127.0.0.1:1"},
            "the manifest has no backend 'shop'; it has: talk",
        ),
        ({"role": Role.BACKEND, "master": "127.0.0.1:1"}, "it has: talk"),
        (
            {"role": Role.GATE, "backend": "talk", "master": "127.0.0.1:1"},
            "--backend is for the role backend only",
        ),
        ({"role": Role.GATE}, "needs to know its master: --master"),
        ({"role": Role.BACKEND, "backend": "talk"}, "its master: --master"),
        (
            {
                "role": Role.BACKEND,
                "backend": "talk",
                "master": "127.0.0.1:1",
                "app_dir": "/nowhere",
            },
            "modules are looked for in /nowhere",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused_with_the_cure(
    given: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != APP_DIR])
    monkeypatch.delitem(sys.modules, "nodeapp", raising=False)
    with pytest.raises(UsageError) as refused:
        Node(options(**given))
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("address", "another process has it"),
        ("observe", "choose another port"),
        ("control", "choose another port"),
    ],
)
async def test_a_port_that_is_taken_is_named(
    make: Make, taken: int, field: str, text: str
) -> None:
    node = make(options(Role.MASTER, token="x", **{field: f"127.0.0.1:{taken}"}))
    with pytest.raises(UsageError) as refused:
        await node.start()
    assert f"127.0.0.1:{taken}" in str(refused.value)
    assert text in str(refused.value)


async def test_a_listener_whose_port_is_taken_is_named(
    make: Make, master: Node, taken: int
) -> None:
    listener = Listener(name="tcp", transport="tcp", port=taken)
    spec = Spec(gates=Gates(listeners=[listener]))
    cluster = NanoCluster(metadata=Metadata(name="demo"), spec=spec)
    node = make(options(Role.GATE, master.address, manifest=cluster))
    with pytest.raises(UsageError) as refused:
        await node.start()
    words = str(refused.value).lower()
    assert words.startswith(f"listener tcp cannot use 127.0.0.1:{taken}: ")
    assert "address already in use" in words
    assert words.endswith("; stop what uses it or choose another port")
    await node.stop()
    await until(lambda: len(master.status()["members"]) == 1)  # type: ignore[arg-type]


async def test_a_control_port_without_a_token_is_refused(make: Make) -> None:
    node = make(options(Role.MASTER, control="127.0.0.1:0"))
    with pytest.raises(UsageError, match="token"):
        await node.start()


# ---------------------------------------------------------------------- the master


async def test_a_node_waits_for_its_master_and_says_so(make: Make) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    backend = make(options(Role.BACKEND, address, backend="talk"))
    assert backend.not_ready() == "starting"
    starting = asyncio.create_task(backend.start())
    await until(lambda: backend.not_ready() == "waiting for the master")
    master = make(options(Role.MASTER, address=address))
    await master.start()
    await starting
    assert backend.not_ready() is None
    await backend.stop()
    assert backend.not_ready() == "stopping"
    await until(lambda: len(master.status()["members"]) == 1)  # type: ignore[arg-type]


async def test_a_gate_that_has_not_met_every_kind_does_not_say_that_nobody_serves(
    make: Make, master: Node
) -> None:
    ws, tcp = free_ports(2)
    cluster = manifest(ws=ws, tcp=tcp)
    gate = make(options(Role.GATE, master.address, manifest=cluster))
    await gate.start()
    async with await connect(f"tcp://127.0.0.1:{tcp}") as client:
        for route in ("Talk.echo", "Talk.nothing", "Nobody.knows"):
            with pytest.raises(RequestError, match="try again") as refused:
                await client.request(route, {"text": "x"})
            assert refused.value.status == 503
        backend = make(options(Role.BACKEND, master.address, backend="talk"))
        await backend.start()
        await until(lambda: gate.linked)
        answer = await client.request("Talk.echo", {"text": "x"})
        assert answer["node"] == backend.address
        await backend.stop()  # it was met, and its routes are known
        for route, status in (("Talk.echo", 503), ("Nobody.knows", 404)):
            with pytest.raises(RequestError) as refused:
                await client.request(route, {"text": "x"})
            assert refused.value.status == status


async def test_a_node_that_waits_for_its_master_can_be_stopped(make: Make) -> None:
    node = make(options(Role.GATE, f"127.0.0.1:{free_ports(1)[0]}"))
    starting = asyncio.create_task(node.start())
    await until(lambda: node.not_ready() == "waiting for the master")
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    began = time.monotonic()
    await node.stop()
    assert time.monotonic() - began < 5.0


# ----------------------------------------------------------------------- the hooks


@pytest.fixture
def hooks() -> Iterator[Any]:
    """The component that writes down its hooks."""
    node = Node(options(Role.BACKEND, "127.0.0.1:1", backend="talk"))  # imports it
    del node
    hooks = sys.modules["nodeapp"].Hooks
    hooks.lines.clear()
    hooks.failing.clear()
    yield hooks
    hooks.failing.clear()


def with_hooks(make: Make, master: Node) -> Node:
    backend = Backend(name="talk", components=["nodeapp:Hooks", "nodeapp:More"])
    spec = Spec(backends=[backend])
    cluster = NanoCluster(metadata=Metadata(name="demo"), spec=spec)
    given = options(Role.BACKEND, master.address, backend="talk", manifest=cluster)
    return make(given)


async def test_hooks_run_in_order_and_back(
    make: Make, master: Node, hooks: Any
) -> None:
    node = with_hooks(make, master)
    await node.start()
    await node.stop()
    await node.stop()  # harmless
    assert hooks.lines == [
        "Hooks.start",
        "More.start",
        "Hooks.started",
        "More.started",
        "More.stopping",
        "Hooks.stopping",
        "More.stop",
        "Hooks.stop",
    ]


async def test_what_was_not_started_is_not_stopped(
    make: Make, master: Node, hooks: Any
) -> None:
    hooks.failing.add("More.start")
    node = with_hooks(make, master)
    with pytest.raises(LookupError):
        await node.start()
    await node.stop()
    assert hooks.lines == ["Hooks.start", "More.start", "Hooks.stop"]


async def test_who_fails_when_clients_can_come_is_stopped_in_order(
    make: Make, master: Node, hooks: Any
) -> None:
    hooks.failing.add("Hooks.started")
    node = with_hooks(make, master)
    with pytest.raises(LookupError):
        await node.start()
    await node.stop()
    assert hooks.lines == [
        "Hooks.start",
        "More.start",
        "Hooks.started",
        "Hooks.stopping",
        "More.stop",
        "Hooks.stop",
    ]


async def test_a_hook_that_fails_on_the_way_down_keeps_nothing_running(
    make: Make, master: Node, hooks: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.failing.update({"More.stopping", "Hooks.stop"})
    node = with_hooks(make, master)
    await node.start()
    await node.stop()
    assert hooks.lines[-4:] == [
        "More.stopping",
        "Hooks.stopping",
        "More.stop",
        "Hooks.stop",
    ]
    failed = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert failed == ["Hooks.stopping failed", "Hooks.stop failed"]
    await until(lambda: len(master.status()["members"]) == 1)  # type: ignore[arg-type]


async def test_a_master_needs_nobody_to_be_ready(make: Make) -> None:
    master = make(options(Role.MASTER, manifest=manifest(backends=0)))
    await master.start()
    assert master.not_ready() is None
    assert master.client_addresses == {}
