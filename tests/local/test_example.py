"""The example runs as its README says, on other ports."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nano.client import connect
from nano.errors import RequestError
from nano.local.ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ECHO = Path(__file__).parents[2] / "examples" / "echo"
SECONDS = 60.0


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The example, running: its WebSocket and its TCP port."""
    folder = tmp_path_factory.mktemp("example") / "echo"
    shutil.copytree(ECHO, folder)
    ws, tcp = free_ports(2)
    manifest = folder / "cluster.yaml"
    text = manifest.read_text().replace("port: 3250", f"port: {ws}")
    manifest.write_text(text.replace("port: 3251", f"port: {tcp}"))
    up = subprocess.Popen(
        [sys.executable, "-m", "nano.cli", "up", "-f", str(manifest)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        wait_until_ready(up)
        yield ws, tcp
        up.send_signal(signal.SIGINT)
        drain(up)
        assert up.wait(SECONDS) == 0
    finally:
        up.kill()
        up.wait()
        assert up.stdout is not None
        up.stdout.close()


def read_some(up: subprocess.Popen[bytes], deadline: float) -> bytes:
    assert up.stdout is not None
    left = max(0.0, deadline - time.monotonic())
    ready, _, _ = select.select([up.stdout], [], [], left)
    assert ready, "nothing more is said in time"
    return os.read(up.stdout.fileno(), 65_536)


def wait_until_ready(up: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    said = b""
    while b"is ready after" not in said:
        chunk = read_some(up, deadline)
        said += chunk
        assert chunk, said.decode()


def drain(up: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while read_some(up, deadline):
        pass


def nanoctl(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nano.cli", *args],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_request_of_the_readme_is_answered(ports: tuple[int, int]) -> None:
    readme = (ECHO / "README.md").read_text()
    asked = re.search(r"nanoctl (request) -s (\S+) (\S+) '(.*)'\n    (.*)\n", readme)
    assert asked is not None
    command, url, route, payload, answer = asked.groups()
    url = url.replace("3250", str(ports[0]))
    done = nanoctl(command, "-s", url, route, payload)
    assert done.returncode == 0, done.stderr
    said, expected = json.loads(done.stdout), json.loads(answer)
    assert said["text"] == expected["text"]
    assert said.keys() == expected.keys()


def test_a_request_goes_by_tcp_too(ports: tuple[int, int]) -> None:
    server = f"127.0.0.1:{ports[1]}"
    done = nanoctl("request", "-s", server, "EchoService.echo", '{"text": "hi"}')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "hi"


def test_a_route_that_is_not_there_is_a_failure_in_one_line(
    ports: tuple[int, int],
) -> None:
    server = f"ws://127.0.0.1:{ports[0]}/"
    done = nanoctl("request", "-s", server, "EchoService.shut", "{}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: NANO-404: ")
    assert len(done.stderr.splitlines()) == 1


async def test_a_payload_without_text_is_refused(ports: tuple[int, int]) -> None:
    async with await connect(f"ws://127.0.0.1:{ports[0]}/") as client:
        with pytest.raises(RequestError) as caught:
            await client.request("EchoService.echo", {"words": "hi"})
    assert caught.value.status == 400


async def test_a_shout_comes_back_as_a_push(ports: tuple[int, int]) -> None:
    async with await connect(f"tcp://127.0.0.1:{ports[1]}") as client:
        heard: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        client.on("onShout", heard.set_result)
        await client.notify("EchoService.shout", {"text": "hello"})
        async with asyncio.timeout(SECONDS):
            assert await heard == {"text": "HELLO"}
