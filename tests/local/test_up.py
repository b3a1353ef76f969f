from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nano.client import connect
from nano.local.ports import free_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ECHO = """\
import os
from nano import Component, Session, handler

class EchoService(Component):
    @handler
    def echo(self, session: Session, words: dict) -> dict:
        return {"text": words["text"], "pid": os.getpid()}
"""
SECONDS = 60.0  # for anything that is waited for; the machine may be busy


def until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Up:
    """A running ``nanoctl up``, with all that it has said."""

    def __init__(self, folder: Path, *args: str, verb: str = "up") -> None:
        self.lines: list[str] = []
        command = [sys.executable, "-m", "nano.cli", verb, "-f", "cluster.yaml", *args]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
            text=True,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def until(self, text: str) -> None:
        """Wait until it has said *text*."""

        def settled() -> bool:
            return text in self.said or self.process.poll() is not None

        until(settled, f"it says {text!r}")
        assert text in self.said, self.said

    @property
    def pids(self) -> dict[str, int]:
        """The processes of its summary."""
        found = re.findall(r"\|   ([-\w]+): pid (\d+)", self.said)
        return {name: int(pid) for name, pid in found}

    def children(self) -> list[int]:
        """The processes that it has now."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in listed.read_text().split()]

    def end(self, number: int | None = None) -> int:
        """Send a signal, wait for the end, return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        try:
            return self.process.wait(SECONDS)
        finally:
            self._reader.join(SECONDS)


class Folder:
    """A folder with a manifest and a component, and what was started in it."""

    def __init__(self, path: Path, gates: int = 1, backends: int = 1) -> None:
        self.path = path
        self.ws, self.tcp = free_ports(2)
        (path / "tmp").mkdir()
        (path / "echo.py").write_text(ECHO)
        (path / "cluster.yaml").write_text(
            f"""\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {{name: echo}}
spec:
  gates:
    replicas: {gates}
    listeners:
    - {{name: ws, transport: websocket, port: {self.ws}}}
    - {{name: tcp, transport: tcp, port: {self.tcp}}}
  backends:
  - {{name: echo, replicas: {backends}, components: ["echo:EchoService"]}}
"""
        )
        self._started: list[Up] = []

    def up(self, *args: str, verb: str = "up") -> Up:
        started = Up(self.path, *args, verb=verb)
        self._started.append(started)
        return started

    @property
    def left_behind(self) -> list[Path]:
        """Files of runs that are over."""
        return list((self.path / "tmp").iterdir())

    def ask(self, text: str = "hello") -> dict[str, object]:
        """Send one request through a gate; return the answer."""

        async def send() -> dict[str, object]:
            url = f"ws://127.0.0.1:{self.ws}/"
            async with asyncio.timeout(10), await connect(url) as client:
                payload = {"text": text}
                answer: dict[str, object]
                answer = await client.request("EchoService.echo", payload)
                return answer

        return asyncio.run(send())

    def clean(self) -> None:
        for started in self._started:
            if started.process.poll() is None:
                started.end(signal.SIGKILL)
            assert started.process.stdout is not None
            started.process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.clean()


def test_one_command_makes_a_cluster_that_answers(folder: Folder) -> None:
    up = folder.up("--try", "EchoService.echo", '{"text": "first"}')
    up.until("EchoService.echo answered")
    assert '{"text":"first"' in up.said
    assert list(up.pids) == ["master", "echo-1", "gate-1"]
    assert folder.ask("second")["pid"] == up.pids["echo-1"]
    pids = up.children()
    assert set(pids) == set(up.pids.values())
    assert up.end(signal.SIGINT) == 0
    assert "stopped after" in up.said
    assert not any(map(is_alive, pids))
    assert folder.left_behind == []
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", folder.ws))


def test_gates_come_down_before_backends_and_the_master_last(folder: Folder) -> None:
    up = folder.up()
    up.until("is ready after")
    watched = {pid: name for name, pid in up.pids.items()}
    looks = itertools.count()
    gone: dict[str, int] = {}  # the look at which a process was found gone

    def note() -> bool:
        look = next(looks)
        for pid in [pid for pid in watched if not is_alive(pid)]:
            gone[watched.pop(pid)] = look
        return not watched

    up.process.send_signal(signal.SIGTERM)
    until(note, "all processes are gone")
    assert up.end() == 0
    assert gone["gate-1"] <= gone["echo-1"] <= gone["master"]


def clients_of(up: Up, gate: str) -> int:
    """How many clients *gate* has, as its metrics say."""
    url = re.search(rf"\|   {gate}: .* (http://\S+/metrics),", up.said)
    assert url is not None
    with urllib.request.urlopen(url[1], timeout=10) as answer:
        text = answer.read().decode()
    count = re.search(r'^nano_sessions\{.*place="home"\} (\d+)', text, re.MULTILINE)
    assert count is not None, text
    return int(count[1])


def test_clients_of_one_port_are_spread_over_the_gates(tmp_path: Path) -> None:
    folder = Folder(tmp_path, gates=2)

    async def spread(up: Up) -> tuple[int, int]:
        async with AsyncExitStack() as stack:
            for _ in range(40):
                client = await connect(f"tcp://127.0.0.1:{folder.tcp}")
                await stack.enter_async_context(client)
            return clients_of(up, "gate-1"), clients_of(up, "gate-2")

    try:
        up = folder.up()
        up.until("is ready after")
        first, second = asyncio.run(spread(up))
        assert first + second == 40
        assert first > 0
        assert second > 0
        os.kill(up.pids["gate-1"], signal.SIGKILL)
        up.until("gate-1 was ended by SIGKILL")  # a dying process still has its queue
        for number in range(20):  # nobody is sent to a gate that is not there
            assert folder.ask(str(number))["text"] == str(number)
        assert up.end(signal.SIGINT) == 0
    finally:
        folder.clean()


def test_a_process_that_is_killed_is_started_again(folder: Folder) -> None:
    up = folder.up()
    up.until("is ready after")
    before = folder.ask()["pid"]
    assert isinstance(before, int)
    os.kill(before, signal.SIGKILL)
    up.until("echo-1 was ended by SIGKILL; it is started again in 0.2 s")
    after: list[object] = []

    def answered() -> bool:
        with contextlib.suppress(Exception):  # whatever happens until it is back
            after.append(folder.ask()["pid"])
        return bool(after)

    until(answered, "the new backend answers")
    assert after[0] != before
    assert after[0] in up.children()
    assert up.end(signal.SIGTERM) == 0


def test_nothing_outlives_a_supervisor_that_is_killed(folder: Folder) -> None:
    up = folder.up()
    up.until("is ready after")
    pids = up.children()
    assert len(pids) == 3
    up.end(signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)), "the nodes end by themselves")


def test_a_stop_in_the_middle_of_the_start_leaves_nothing(folder: Folder) -> None:
    up = folder.up()
    up.until("starting echo: 3 processes")
    until(up.children, "a process is there")
    pids = up.children()
    assert up.end(signal.SIGINT) == 0
    assert "is ready after" not in up.said
    assert not any(map(is_alive, pids))
    assert folder.left_behind == []


def test_a_component_that_cannot_be_imported_ends_it_all(folder: Folder) -> None:
    (folder.path / "echo.py").write_text("import no_such_module\n")
    up = folder.up()
    assert up.end() == 1
    assert "Error: echo-1 ended with exit code 2; the last that it said:" in up.said
    assert "No module named 'no_such_module'" in up.said.partition("Error: echo-1")[2]
    assert up.said.count("cannot be imported") == 2  # said once, and repeated once
    assert "Traceback" not in up.said
    assert folder.left_behind == []


def test_a_component_that_fails_to_start_is_given_up_after_three_tries(
    folder: Folder,
) -> None:
    (folder.path / "echo.py").write_text(
        ECHO + '    async def start(self): raise RuntimeError("no database")\n'
    )
    up = folder.up()
    assert up.end() == 1
    assert "RuntimeError: no database" in up.said.partition("Error: echo-1")[2]
    assert up.said.count("it is started again") == 2


def test_a_port_in_use_is_named_with_its_listener(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", folder.tcp)):
        up = folder.up()
        assert up.end() == 2
    assert up.said.startswith(
        f"Error: listener tcp cannot use port {folder.tcp} of 127.0.0.1: "
        "Address already in use"
    )


def test_a_bad_manifest_starts_nothing(folder: Folder) -> None:
    manifest = folder.path / "cluster.yaml"
    manifest.write_text(manifest.read_text().replace("replicas", "replica"))
    up = folder.up()
    assert up.end() == 2
    assert "did you mean replicas?" in up.said
    assert "starting" not in up.said


@pytest.mark.slow
def test_a_process_that_does_not_stop_is_killed(folder: Folder) -> None:
    up = folder.up()
    up.until("is ready after")
    pids = up.children()
    os.kill(up.pids["echo-1"], signal.SIGSTOP)
    try:
        assert up.end(signal.SIGINT) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(up.pids["echo-1"], signal.SIGCONT)
    assert "echo-1 does not stop; it is killed" in up.said
    assert not any(map(is_alive, pids))


@pytest.mark.slow
def test_a_second_signal_kills_at_once(folder: Folder) -> None:
    up = folder.up()
    up.until("is ready after")
    pids = up.children()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    up.process.send_signal(signal.SIGINT)
    up.until("stopping")
    began = time.monotonic()
    assert up.end(signal.SIGINT) == 0
    assert time.monotonic() - began < 5  # less than one process's time to stop
    assert not any(map(is_alive, pids))


def test_a_stop_while_modules_are_imported_is_no_traceback(folder: Folder) -> None:
    echo = folder.path / "echo.py"
    loading = 'import time\nprint("loading", flush=True)\ntime.sleep(600)\n'
    echo.write_text(loading + ECHO)
    up = folder.up()
    up.until("loading")
    assert up.end(signal.SIGINT) == 0
    assert "Traceback" not in up.said
    assert "Aborted" not in up.said
    assert folder.left_behind == []
