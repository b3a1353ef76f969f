"""``nanoctl up -d``, and a running cluster seen, changed and stopped from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nano.client import connect
from nano.local.ports import free_ports

from .test_up import ECHO, SECONDS, Folder, is_alive, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


class Cluster(Folder):
    """A folder with a manifest, and ``nanoctl`` as one calls it there."""

    def ctl(self, *args: str, fails: int | None = 0) -> str:
        """Run a command that ends with the code *fails*; return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", "nano.cli", *args],
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(self.path / "tmp")},
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
        assert fails in (done.returncode, None), done.stdout
        assert "Traceback" not in done.stdout
        assert "\x1b" not in done.stdout  # it is no terminal
        return done.stdout

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ctl("status", "--json"))
        return told

    def pids(self) -> dict[str, int]:
        return {node["name"]: node["pid"] for node in self.status()["nodes"]}

    def change(self, *pairs: tuple[str, str], file: str = "cluster.yaml") -> None:
        path = self.path / file
        text = path.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def clean(self) -> None:
        self.ctl("down")
        super().clean()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def cluster(name: str = "one", gates: int = 1, backends: int = 1) -> Cluster:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Cluster(folder, gates, backends))
        return made[-1]

    yield cluster
    for one in made:
        one.clean()


@pytest.fixture
def cluster(make: Callable[..., Cluster]) -> Cluster:
    one = make()
    one.ctl("up", "-d")
    return one


def runs(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] != "Z"


def test_a_detached_cluster_is_ready_when_the_command_returns(
    make: Callable[..., Cluster],
) -> None:
    cluster = make()
    said = cluster.ctl("up", "-d")
    assert said.startswith("echo is ready after ")
    assert f"clients: ws at ws://127.0.0.1:{cluster.ws}/" in said
    assert cluster.ask()["pid"] == cluster.pids()["echo-1"]
    told = cluster.status()
    assert told["phase"] == "ready"
    assert told["manifest"] == str(cluster.path / "cluster.yaml")
    assert [node["name"] for node in told["nodes"]] == ["master", "echo-1", "gate-1"]
    assert all(node["ready"] for node in told["nodes"])
    table = cluster.ctl("status").splitlines()
    assert table[0].startswith("echo: ready, up for ")
    columns = ["NODE", "ROLE", "PID", "ADDRESS", "READY", "RESTARTS", "SESSIONS"]
    assert table[-4].split() == columns
    row = table[-3].split()
    assert row[:2] == ["master", "master"]
    assert row[4:6] == ["yes", "0"]
    pids = [told["pid"], *cluster.pids().values()]
    down = cluster.ctl("down")
    assert down.startswith("echo is down after ")
    assert not any(map(runs, pids))
    assert cluster.left_behind == []
    assert cluster.ctl("status", fails=1).startswith("Error: echo is not up; ")
    assert cluster.ctl("down") == "it is not up\n"
    log = cluster.ctl("logs", "nanoctl")  # which stays
    assert "nanoctl | stopped after" in log


def test_a_cluster_that_does_not_come_up_says_why_and_leaves_nothing(
    make: Callable[..., Cluster],
) -> None:
    cluster = make()
    (cluster.path / "echo.py").write_text("import no_such_module\n")
    said = cluster.ctl("up", "-d", fails=1)
    assert said.startswith(
        "Error: echo-1 ended with exit code 2; the last that it said"
    )
    assert "No module named 'no_such_module'" in said
    assert cluster.left_behind == []
    assert cluster.ctl("status", fails=1).startswith("Error: echo is not up")
    with socket.create_server(("127.0.0.1", cluster.tcp)):
        said = cluster.ctl("up", "-d", fails=1)
    assert said.startswith(f"Error: listener tcp cannot use port {cluster.tcp} of ")


def test_top_shows_every_node_and_who_does_not_answer(
    make: Callable[..., Cluster],
) -> None:
    cluster = make()
    cluster.ctl("up", "-d")
    said = cluster.ctl("top", "--once", "--interval", "0.5").splitlines()
    assert said[0].startswith("echo: 3 nodes, 0 clients, ")
    assert [line.split()[:3] for line in said[2:]] == [
        ["master", "master", "ready"],
        ["echo-1", "backend", "ready"],
        ["gate-1", "gate", "ready"],
    ]
    stopped = cluster.pids()["echo-1"]
    os.kill(stopped, signal.SIGSTOP)
    try:
        told = json.loads(
            cluster.ctl("top", "--once", "--interval", "0.5", "-o", "json")
        )
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert told["total"]["silent"] == 1
    assert told["nodes"][1]["state"] == "it does not answer"
    assert told["nodes"][1]["clients"] is None
    cluster.ctl("down")
    assert "echo is not up" in cluster.ctl("top", fails=1)


def test_a_cluster_is_up_once(cluster: Cluster) -> None:
    pid = cluster.status()["pid"]
    for args in (("up", "-d"), ("up",)):
        said = cluster.ctl(*args, fails=1)
        assert re.match(
            rf"Error: .* is up already \(pid {pid}\); `nanoctl status`", said
        )
    assert cluster.status()["pid"] == pid


@pytest.mark.slow
def test_two_clusters_are_up_side_by_side(make: Callable[..., Cluster]) -> None:
    one, two = make("one"), make("two")
    for cluster in (one, two):
        cluster.ctl("up", "-d")
    assert one.ask()["pid"] == one.pids()["echo-1"]
    assert two.ask()["pid"] == two.pids()["echo-1"]
    here = one.path.parent  # where no manifest is
    for command in ("status", "reload", "down", "logs"):
        done = subprocess.run(
            [sys.executable, "-m", "nano.cli", command],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        first, *listed = done.stderr.splitlines()
        assert first == "Error: several clusters are up; say which one is meant:"
        manifests = {f"  -f {it.path}/cluster.yaml" for it in (one, two)}
        assert set(listed) == manifests
    one.ctl("down")
    assert two.ask()["text"] == "hello"
    done = subprocess.run(  # the only one
        [sys.executable, "-m", "nano.cli", "status", "--json"],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["manifest"] == str(two.path / "cluster.yaml")


@pytest.mark.slow
def test_a_supervisor_that_was_killed_is_not_up_whoever_has_its_number(
    cluster: Cluster,
) -> None:
    told = cluster.status()
    os.kill(told["pid"], signal.SIGKILL)
    until(lambda: not any(map(runs, cluster_pids(told))), "its nodes end, too")
    assert cluster.ctl("down") == "it is not up\n"
    assert cluster.ctl("reload", fails=1).startswith("Error: echo is not up")
    for left in cluster.left_behind:  # what SIGKILL leaves
        assert left.name.startswith("nano-")
    cluster.ctl("up", "-d")
    assert cluster.ask()["text"] == "hello"


def cluster_pids(told: dict[str, Any]) -> list[int]:
    return [node["pid"] for node in told["nodes"]]


def test_logs_are_those_of_all_or_of_some(cluster: Cluster) -> None:
    everything = cluster.ctl("logs", "-n", "1000")
    names = {line.partition("|")[0].strip() for line in everything.splitlines()}
    assert names == {"nanoctl", "master", "echo-1", "gate-1"}
    some = cluster.ctl("logs", "gate-1", "master").splitlines()
    assert {line.partition("|")[0].strip() for line in some} == {"gate-1", "master"}
    assert len(cluster.ctl("logs", "-n", "3").splitlines()) == 3
    unknown = cluster.ctl("logs", "gate-7", fails=2)
    known = "master, echo-1, gate-1, nanoctl"
    assert unknown == f"Error: there is no process gate-7; there are: {known}\n"


def test_logs_that_are_followed_go_on(cluster: Cluster) -> None:
    follower = subprocess.Popen(
        [sys.executable, "-u", "-m", "nano.cli", "logs", "-f", "nanoctl"],
        cwd=cluster.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout is not None
        victim = cluster.pids()["echo-1"]
        os.kill(victim, signal.SIGKILL)
        said = iter(follower.stdout.readline, "")
        assert any("echo-1 was ended by SIGKILL" in line for line in said)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(SECONDS) == 0
    finally:
        follower.kill()
        follower.wait()
        assert follower.stdout is not None
        follower.stdout.close()
    told = json.loads(cluster.ctl("status", "--json", fails=None))
    assert told["nodes"][1]["restarts"] == 1


# ---------------------------------------------------------------------- reload


@pytest.mark.slow
def test_only_what_has_changed_is_replaced(make: Callable[..., Cluster]) -> None:
    cluster = make(backends=2)
    cluster.change(
        ("  backends:\n", "  backends:\n  - {name: more, components: [more:More]}\n")
    )
    (cluster.path / "more.py").write_text(ECHO.replace("EchoService", "More"))
    cluster.ctl("up", "-d")
    before = cluster.pids()
    said = cluster.ctl("reload")
    assert said.startswith("nothing has changed; --all replaces")
    assert cluster.pids() == before
    cluster.change(('"pid"', '"new": True, "pid"'), file="echo.py")

    async def through() -> dict[str, Any]:
        """One client sees it all, by one connection."""
        async with (
            asyncio.timeout(2 * SECONDS),
            await connect(f"tcp://127.0.0.1:{cluster.tcp}") as client,
        ):
            first = await client.request("EchoService.echo", {"text": "a"})
            assert "new" not in first
            said = await asyncio.to_thread(cluster.ctl, "reload")
            lines = said.splitlines()
            assert lines[0] == (
                "reloading: replaced: echo-1, echo-2; kept: master, more-1, gate-1"
            )
            kinds = [re.sub(r" \(pid \d+\)", "", line) for line in lines[1:]]
            assert kinds == [  # a new one is ready before the old one stops
                "echo-1: ready",
                "echo-1: the old one has stopped",
                "echo-2: ready",
                "echo-2: the old one has stopped",
            ]
            answer: dict[str, Any]
            answer = await client.request("EchoService.echo", {"text": "b"})
            return answer

    answer = asyncio.run(through())
    after = cluster.pids()
    assert answer["new"] is True
    assert answer["pid"] in (after["echo-1"], after["echo-2"])
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"echo-1", "echo-2"}
    assert not is_alive(before["echo-1"])
    assert not is_alive(before["echo-2"])
    cluster.ctl("reload", "--all")
    assert not set(cluster.pids().values()) & set(after.values())
    assert cluster.ask()["new"] is True


@pytest.mark.slow
def test_more_and_fewer_processes(cluster: Cluster) -> None:
    before = cluster.pids()
    cluster.change(("echo, replicas: 1", "echo, replicas: 3"))
    assert "reloading: added: echo-2, echo-3; kept: " in cluster.ctl("reload")
    more = cluster.pids()
    assert set(more) == {*before, "echo-2", "echo-3"}
    cluster.change(("echo, replicas: 3", "echo, replicas: 1"))
    assert "reloading: removed: echo-2, echo-3; kept: " in cluster.ctl("reload")
    assert cluster.pids() == before
    assert not is_alive(more["echo-2"])


def test_what_cannot_be_started_replaces_nothing(cluster: Cluster) -> None:
    before = cluster.pids()
    (cluster.path / "echo.py").write_text("import no_such_module\n")
    said = cluster.ctl("reload", fails=1)
    assert "Error: echo-1 ended with exit code 2; the last that it said" in said
    assert "No module named 'no_such_module'" in said
    assert cluster.pids() == before
    assert cluster.ask()["pid"] == before["echo-1"]
    (cluster.path / "echo.py").write_text(ECHO)
    assert cluster.ctl("reload").startswith("nothing has changed")
    manifest = (cluster.path / "cluster.yaml").read_text()
    cluster.change(("replicas", "replica"))
    assert "did you mean replicas?" in cluster.ctl("reload", fails=2)
    (cluster.path / "cluster.yaml").write_text(manifest)
    cluster.change(("name: echo}\nspec", "name: other}\nspec"))
    said = cluster.ctl("reload", fails=1)
    assert "metadata.name was echo and is other, which is another cluster" in said
    assert cluster.status()["name"] == "echo"
    assert cluster.pids() == before
    (cluster.path / "cluster.yaml").write_text(manifest)


@pytest.mark.slow
def test_a_master_that_cannot_be_started_is_started_as_it_was(
    cluster: Cluster,
) -> None:
    before = cluster.pids()
    cluster.change(
        ("spec:\n", "spec:\n  master: {env: [{name: NANO_LOG_LEVEL, value: loud}]}\n")
    )
    said = cluster.ctl("reload", fails=1)
    assert "the master is started again as it was" in said
    assert "Error: master ended with exit code 2" in said
    after = cluster.pids()
    assert after.pop("master") != before.pop("master")
    assert after == before
    assert cluster.ask()["text"] == "hello"
    cluster.change(("loud", "warning"))
    assert "reloading: replaced: master; kept: " in cluster.ctl("reload")
    cluster.change(("echo, replicas: 1", "echo, replicas: 2"))
    cluster.ctl("reload")  # and others can join the new one
    assert cluster.pids()["echo-2"]


@pytest.mark.slow
def test_listeners_may_move(make: Callable[..., Cluster]) -> None:
    cluster = make(gates=2)
    cluster.ctl("up", "-d")
    before, old = cluster.pids(), cluster.ws
    (cluster.ws,) = free_ports(1)
    cluster.change((f"port: {old}", f"port: {cluster.ws}"))
    lines = [re.sub(r" \(pid .*", "", it) for it in cluster.ctl("reload").splitlines()]
    assert lines == [
        "reloading: replaced: gate-1, gate-2; kept: master, echo-1",
        "gate-1, gate-2: ready",
        "gate-1, gate-2: the old one has stopped",
    ]
    assert cluster.ask()["pid"] == before["echo-1"]
    with socket.create_server(("127.0.0.1", old)):
        pass  # it was given up
    after, now = cluster.pids(), cluster.ws
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cluster.change((f"port: {now}", f"port: {port}"))
        said = cluster.ctl("reload", fails=1)
        assert f"Error: listener ws cannot use port {port} of 127.0.0.1" in said
    assert cluster.pids() == after
    assert cluster.ask()["text"] == "hello"


@pytest.mark.slow
def test_a_cluster_in_the_foreground_is_reached_as_well(
    make: Callable[..., Cluster],
) -> None:
    cluster = make()
    up = cluster.up()
    up.until("is ready after")
    assert cluster.pids() == up.pids
    assert "reloading: replaced: master, echo-1, gate-1" in cluster.ctl(
        "reload", "--all"
    )
    up.until("gate-1: the old one has stopped")
    assert set(cluster.pids().values()) == set(up.children())
    cluster.ctl("down")
    assert up.end() == 0
    assert "stopped after" in up.said


NOTING = (
    ECHO
    + """
    async def started(self) -> None:
        import asyncio, signal

        def told() -> None:
            with open("told.txt", "a") as file:
                file.write(f"{os.getpid()}\\n")
            os.kill(os.getpid(), signal.SIGINT)

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told)
"""
)


@pytest.mark.slow
def test_who_is_replaced_may_drain_and_who_is_stopped_stops_at_once(
    make: Callable[..., Cluster],
) -> None:
    cluster = make()
    (cluster.path / "echo.py").write_text(NOTING)
    cluster.ctl("up", "-d")
    old = cluster.pids()["echo-1"]
    (cluster.path / "echo.py").write_text(NOTING + "# changed\n")
    cluster.ctl("reload")
    told = cluster.path / "told.txt"
    assert told.read_text() == f"{old}\n"  # SIGTERM, by which a node drains
    cluster.ctl("down")
    assert told.read_text() == f"{old}\n"  # and SIGINT, by which it does not
