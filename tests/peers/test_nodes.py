"""Go nano beside our nodes as processes, and nano's protocol at our gate."""

from __future__ import annotations

import signal

import pytest

from nano.client import connect

from .go import Peers
from .nodes import Nodes
from .process import free_address

pytestmark = [pytest.mark.peers, pytest.mark.process]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_go_gate_registers_with_our_master_and_is_seen_by_our_gate(
    nodes: Nodes, peers: Peers, end: signal.Signals
) -> None:
    master = await nodes.start("master")
    member = ["--master", master.address]
    await nodes.start("backend", *member, backend="echo")
    gate = await nodes.start("gate", *member)

    go_gate = await peers.start(
        "gate", *member, "--client", free_address(), "--heartbeat", "300ms", "--calls"
    )
    await go_gate.logged("RPC /clusterpb.Master/Register .* status=OK")
    await go_gate.logged("Register remote service EchoService")
    assert (await gate.sees(go_gate.address))["services"] == ["GateService"]

    # a member that speaks no link is no obstacle to those that do
    async with await connect(f"tcp://{nodes.tcp}") as client:
        answer = await client.request("EchoService.echo", {"text": "beside Go"})
        assert answer == {"text": "beside Go"}
        await go_gate.logged("RPC /clusterpb.Master/Heartbeat .* status=OK", count=3)
        await go_gate.stop(end)
        await gate.misses(go_gate.address)
        await master.misses(go_gate.address)
        answer = await client.request("EchoService.echo", {"text": "without"})
        assert answer == {"text": "without"}


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_our_gate_keeps_nanos_protocol_towards_a_client_of_another_make(
    nodes: Nodes, peers: Peers, transport: str
) -> None:
    master = await nodes.start("master")
    member = ["--master", master.address]
    await nodes.start("backend", *member, backend="echo")
    await nodes.start("gate", *member)

    check = ["--wire-only", "--echo", "EchoService.echo"]
    if transport == "websocket":
        check += ["--ws", "--ws-path", "/"]
    address = nodes.tcp if transport == "tcp" else nodes.websocket
    await peers.check(address, *check)
