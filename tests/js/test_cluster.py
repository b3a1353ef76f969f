"""The module under Node.js against a cluster of ours."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from nano.node import Role
from nano.testing import LocalCluster

from .nodejs import NodeJs

pytestmark = [pytest.mark.process]

PROGRAMS = Path(__file__).parent / "programs"


async def test_a_client_under_node_and_a_cluster_understand_each_other(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    said = await node.run("--test", PROGRAMS / "cluster.test.mjs", env=env)
    assert "fail 0" in said
    assert "pass 11" in said


async def test_a_client_comes_back_when_its_gate_is_replaced(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    program = await node.start(PROGRAMS / "reconnect.mjs", env=env)
    await program.until("ready")
    await cluster.gates[0].stop()
    await program.until("waits")
    await cluster.start(Role.GATE)
    said = (await program.ended()).splitlines()
    assert "kick the server is going away" in said
    assert "cut ClosedError true" in said
    # the new session said who it is in front of what had waited
    assert "answered Ann" in said
    assert [line for line in said if line.startswith("close")] == [
        "close closed by this side"
    ]


class Proxy:
    """Passes connections on, and cuts them all at once, with no goodbye."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pairs: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"ws://{host}:{port}"

    def cut(self) -> None:
        for writer in self._pairs:
            writer.transport.abort()
        self._pairs.clear()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._pairs += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._tasks.add(task)

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await source.read(65_536):
                target.write(data)
        except ConnectionError:
            pass  # it was cut
        target.close()


async def test_a_client_that_was_cut_off_goes_on_with_its_session(
    node: NodeJs, patient: LocalCluster
) -> None:
    host, port = patient.url("ws").removeprefix("ws://").split(":")
    async with Proxy(host, int(port)) as proxy:
        program = await node.start(PROGRAMS / "resume.mjs", env={"NANO_URL": proxy.url})
        await program.until("ready")
        proxy.cut()
        said = (await program.ended()).splitlines()
        assert said[-2:] == ["resumed true", "same true"]
        assert b'outcome="resumed"} 1.0' in patient.gates[0].metrics()
        await until_alone(patient)  # it has said goodbye


async def until_alone(cluster: LocalCluster) -> None:
    """Wait until the gate has no session any more."""
    async with asyncio.timeout(30):
        while cluster.gates[0].status()["sessions"]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)


async def test_a_client_that_slept_too_long_comes_back_when_it_wakes(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    program = await node.start(PROGRAMS / "asleep.mjs", env=env)
    await program.until("ready")
    program.signal(signal.SIGSTOP)
    try:
        await until_alone(cluster)
    finally:
        program.signal(signal.SIGCONT)
    said = (await program.ended()).splitlines()
    assert said[-2:] == ["answered awake", "close closed by this side"]
