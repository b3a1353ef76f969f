"""All roles in one process: ``nanoctl up --single``."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nano.cli import main
from nano.client import connect
from nano.cluster.link import Stream
from nano.cluster.members import Member
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.local.fingerprint import fingerprint
from nano.local.plan import ALL
from nano.local.single import kinds
from nano.local.together import ROOM, Together
from nano.node import Role

from .test_plan import CLUSTER
from .test_remote import Cluster, make  # noqa: F401  # a fixture
from .test_up import SECONDS

ROOMS = """\
from nano import Component, Session, handler

class RoomService(Component):
    @handler
    async def join(self, session: Session, name: str) -> str:
        session.bind(name)
        self.node.group("room").add(session)
        return await self.node.call("WalletService.open", name)

    @handler
    async def say(self, session: Session, text: str) -> list[str]:
        self.node.group("room").publish("onMessage", text)
        reached = await self.node.push(["ann", "nobody"], "onWhisper", text)
        return list(reached.failed)

class WalletService(Component):
    @handler(internal=True)
    def open(self, name: str) -> str:
        return f"wallet of {name}"
"""
MORE_BACKENDS = """\
  backends:
  - {name: room, components: ["rooms:RoomService"]}
  - {name: wallet, components: ["rooms:WalletService"]}
"""


@pytest.mark.process
@pytest.mark.timeout(180)
def test_all_roles_are_in_one_process(
    make: Callable[..., Cluster],  # noqa: F811  # the fixture
) -> None:
    cluster = make(gates=2, backends=2)
    (cluster.path / "rooms.py").write_text(ROOMS)
    cluster.change(
        ("  backends:\n", MORE_BACKENDS),
    )
    assert "echo is ready after" in cluster.ctl("up", "-d", "--single")
    (told,) = cluster.status()["nodes"]
    assert (told["name"], told["role"], told["ready"]) == (ALL, ALL, True)
    assert cluster.ask()["pid"] == told["pid"]
    asyncio.run(meet(cluster))
    with urllib.request.urlopen(f"http://{told['observe']}/metrics", timeout=10) as it:
        metrics = it.read().decode()
    for process in ("echo", "room", "wallet", "gate"):
        labels = f'namespace="default",nanocluster="echo",process="{process}"'
        for name in ("nano_ready", "nano_process_up"):
            assert f"{name}{{{labels}}} 1.0" in metrics
    cluster.change(('"pid"', '"new": 1, "pid"'), file="echo.py")
    assert "reloading: replaced: all" in cluster.ctl("reload")
    assert cluster.ask()["new"] == 1
    cluster.ctl("down")
    assert cluster.left_behind == []


async def meet(cluster: Cluster) -> None:
    """Two clients, a group, a push, and a call from a backend to another one."""
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        clients = []
        for name in ("ann", "bob"):
            client = await connect(f"tcp://127.0.0.1:{cluster.tcp}")
            await stack.enter_async_context(client)
            clients.append(client)
            client.on("onMessage", lambda it: heard.put_nowait(("onMessage", it)))
            client.on("onWhisper", lambda it: heard.put_nowait(("onWhisper", it)))
            answer = await client.request("RoomService.join", name)
            assert answer == f"wallet of {name}"
        assert await clients[1].request("RoomService.say", "hello") == ["nobody"]
        got = [await heard.get() for _ in range(3)]
        assert sorted(got) == [
            ("onMessage", "hello"),
            ("onMessage", "hello"),
            ("onWhisper", "hello"),
        ]


def test_there_is_one_node_of_each_kind() -> None:
    assert kinds(CLUSTER) == [
        ("room", Role.BACKEND),
        ("wallet", Role.BACKEND),
        ("gate", Role.GATE),
    ]


def test_one_process_changes_with_each_of_its_parts(tmp_path: Path) -> None:
    before = fingerprint(CLUSTER, ALL, tmp_path)
    (tmp_path / "chat.py").write_text("")
    assert fingerprint(CLUSTER, ALL, tmp_path) != before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--role", "all", "--address", "a:1"], "--address is not for the role all"),
        (["--role", "all", "--master", "a:1"], "--master is not for the role all"),
        (
            ["--role", "all", "--processes", "2"],
            "--processes is for the role gate only",
        ),
        (["--role", "gate"], "the role gate needs --address HOST:PORT"),
    ],
)
def test_what_goes_with_the_role_all(words: list[str], said: str) -> None:
    echo = Path(__file__).parents[2] / "examples" / "echo" / "cluster.yaml"
    result = CliRunner().invoke(main, ["node", "--manifest", str(echo), *words])
    assert result.exit_code == 2
    assert said in result.stderr


# --------------------------------------------------------------------- streams


class Ends:
    """Both ends of a stream of a meeting."""

    def __init__(self) -> None:
        self.meeting = Together()
        self.far: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        me = Member(address="b", label="b", services=())
        self.place: Any = self.meeting.place(me, lambda _: None, self.serve)

    async def serve(self, stream: Stream) -> None:
        self.far.set_result(stream)
        await self.over.wait()

    async def join(self) -> tuple[Any, Stream]:
        await self.place.start()
        near = self.meeting.dial("b")
        return near, await self.far


def batch(number: int) -> pb.Batch:
    return pb.Batch(envelopes=[pb.Envelope(session=number)])


async def test_a_writer_waits_while_the_peer_does_not_read() -> None:
    ends = Ends()
    near, far = await ends.join()
    for number in range(ROOM):
        await near.write(batch(number).SerializeToString())
    more = asyncio.create_task(near.write(batch(ROOM).SerializeToString()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not more.done()
    async with asyncio.timeout(SECONDS):
        got = [await far.read() for _ in range(ROOM + 1)]
        await more
    assert got == [batch(number) for number in range(ROOM + 1)]
    await ends.meeting.stop()


async def test_what_was_written_before_the_end_is_still_read() -> None:
    ends = Ends()
    near, far = await ends.join()
    await far.write(batch(1).SerializeToString())
    ends.over.set()  # who serves has had enough
    async with asyncio.timeout(SECONDS):
        assert await near.read() == batch(1)
        assert await near.read() is None
        with pytest.raises(ClusterError, match="the stream has ended"):
            await near.write(b"")
    await ends.meeting.stop()


async def test_a_read_that_is_cancelled_ends_the_stream() -> None:
    ends = Ends()
    near, far = await ends.join()
    reading = asyncio.create_task(far.read())
    await asyncio.sleep(0)
    reading.cancel()
    async with asyncio.timeout(SECONDS):
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await near.read() is None
    await ends.meeting.stop()


async def test_nobody_is_where_nobody_has_come() -> None:
    with pytest.raises(ClusterError, match="nobody listens at c"):
        Together().dial("c")
