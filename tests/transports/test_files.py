"""Sockets that are files, with clients at them."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

import nano.client
from nano.errors import ConnectionClosed, UsageError
from nano.transports.context import Terms
from nano.transports.files import SocketFile
from nano.transports.listener import Listener

from .room import ACK, HANDSHAKE, PATIENCE, Hall, until

pytestmark = pytest.mark.process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nano.sock"


async def test_a_client_of_the_same_machine_is_served(path: Path) -> None:
    hall = Hall(per_address=1)
    listener = Listener("local", "unix", hall.front)
    await listener.start_file(path)
    assert listener.address == str(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    async with (
        await nano.client.connect(f"unix://{path}") as ann,
        await nano.client.connect(f"unix://{path}") as bob,
    ):
        for client in (ann, bob):  # nobody's connections, however many
            assert await client.request("Room.Fast", 1) == 1
        addresses = {session.remote_address for session in hall.sessions}
        assert addresses == {"local"}
        stopping = asyncio.create_task(listener.stop())
        async with asyncio.timeout(PATIENCE):
            assert await ann.wait_closed() == "the server is going away"
            await stopping
    assert os.listdir(path.parent) == []
    assert hall.is_empty()
    with pytest.raises(ConnectionClosed, match="cannot connect to unix:"):
        await nano.client.connect(f"unix://{path}")


async def test_a_proxy_of_the_same_machine_may_tell_whom_it_speaks_for(
    path: Path,
) -> None:
    hall = Hall()
    listener = Listener("local", "unix", hall.front, Terms(proxy_protocol=True))
    await listener.start_file(path)
    _, writer = await asyncio.open_unix_connection(str(path))
    header = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n"
    writer.write(header + HANDSHAKE + ACK)
    await until(lambda: len(hall.sessions) == 1)
    (session,) = hall.sessions
    assert session.remote_address == "203.0.113.9:4711"
    writer.close()
    await listener.stop()


async def test_what_a_dead_process_left_is_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    listener = Listener("local", "unix", Hall().front)
    await listener.start_file(path)
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.close()
    await writer.wait_closed()
    await listener.stop()


def test_a_socket_that_somebody_listens_at_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(UsageError, match="somebody listens there; stop what"):
            SocketFile("local", path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(UsageError, match="it is there and no socket; remove it"):
        SocketFile("local", path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere/nano.sock", "No such file or directory; choose a folder"),
        ("x" * 120, "a socket's path has at most 107 bytes"),
    ],
)
def test_a_path_that_cannot_be_used_is_the_users_error(
    tmp_path: Path, path: str, says: str
) -> None:
    with pytest.raises(UsageError, match=f"listener local cannot use .*{says}"):
        SocketFile("local", tmp_path / path)


def test_another_ones_socket_is_not_removed(path: Path) -> None:
    first = SocketFile("local", path)
    first.socket.close()
    with SocketFile("local", path).socket:
        first.remove()
        assert path.exists()


def test_a_file_that_is_gone_already_is_no_error(path: Path) -> None:
    made = SocketFile("local", path)
    made.socket.close()
    path.unlink()
    made.remove()


def test_nobody_can_connect_before_it_listens(path: Path) -> None:
    made = SocketFile("local", path)
    with made.socket, socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        made.socket.listen()
        client.connect(str(path))
    made.remove()


async def test_one_socket_serves_several_gates(path: Path) -> None:
    made = SocketFile("local", path)
    halls = [Hall(), Hall()]
    listeners = [Listener("local", "unix", hall.front) for hall in halls]
    for listener in listeners:
        await listener.start_file(Path("unused"), made.socket.dup())
    await listeners[0].stop()
    assert os.listdir(path.parent) == [path.name]
    async with await nano.client.connect(f"unix://{path}") as client:
        assert await client.request("Room.Fast", 1) == 1
        assert len(halls[1].sessions) == 1
    await listeners[1].stop()
    made.socket.close()
    made.remove()
    assert os.listdir(path.parent) == []
