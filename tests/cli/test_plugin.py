"""``kubectl nano``, with a program in place of ``kubectl`` that answers from a file."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nano.cli.plugin import main

KUBECTL = """\
#!{python}
import json, pathlib, sys

folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "asked").open("a") as asked:
    asked.write(json.dumps(words) + "\\n")
for given, answer in json.loads((folder / "answers.json").read_text()):
    if all(word in words for word in given):
        if "error" in answer:
            sys.exit(answer["error"])
        said = answer["says"]
        print(said if isinstance(said, str) else json.dumps(said))
        sys.exit()
sys.exit(f"Error from server (Forbidden): {{words}}")
"""


class Server:
    """What the program answers, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "kubectl"
        self.program.write_text(
            KUBECTL.format(python=sys.executable, folder=str(folder))
        )
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self._folder = folder
        self._answers: list[Any] = []

    def says(self, *words: str, that: object) -> None:
        """Answer *words* with *that*; the latest of several counts."""
        self._write(words, {"says": that})

    def refuses(self, *words: str, error: str) -> None:
        self._write(words, {"error": error})

    def _write(self, words: tuple[str, ...], answer: object) -> None:
        self._answers.insert(0, (words, answer))
        (self._folder / "answers.json").write_text(json.dumps(self._answers))

    def asked(self) -> list[list[str]]:
        lines = (self._folder / "asked").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(tmp_path)
    monkeypatch.setenv("KUBECTL", str(made.program))
    return made


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args, catch_exceptions=False)


def pod(name: str, role: str, backend: str = "", **more: Any) -> dict[str, Any]:
    labels = {"nanocluster.io/role": role} | (
        {"nanocluster.io/backend": backend} if backend else {}
    )
    return {
        "metadata": {
            "name": name,
            "namespace": "games",
            "labels": labels,
            "creationTimestamp": "2026-01-01T10:00:00Z",
            **more.get("metadata", {}),
        },
        "status": {
            "podIP": f"10.0.0.{len(name)}",
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"restartCount": 2}],
        }
        | more.get("status", {}),
    }


CLUSTER = {
    "metadata": {"name": "chat"},
    "status": {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "RollingOut",
                "message": "gates: 1 of 2",
            }
        ],
        "endpoints": [{"name": "ws", "url": "ws://1.2.3.4:3250"}],
    },
}
MASTER, GATE, ROOM = "chat-master-1", "chat-gate-22", "chat-room-333"
MEMBERS = [
    {
        "address": "10.0.0.13:7650",
        "role": "master",
        "label": "",
        "services": [],
        "state": "active",
        "link": False,
    },
    {
        "address": "10.0.0.12:7650",
        "role": "gate",
        "label": "",
        "services": [],
        "state": "active",
        "link": False,
    },
    {
        "address": "10.0.0.99:7650",
        "role": "backend",
        "label": "room",
        "services": ["Room"],
        "state": "draining",
        "link": True,
    },
]


@pytest.fixture
def chat(server: Server) -> Server:
    server.says("get", "nanoclusters.nanocluster.io", that={"items": [CLUSTER]})
    server.says("get", "nanoclusters.nanocluster.io", "chat", that=CLUSTER)
    pods = [pod(ROOM, "backend", "room"), pod(GATE, "gate"), pod(MASTER, "master")]
    server.says("get", "pods", that={"items": pods})
    node = {"sessions": 7, "notReady": None, "members": MEMBERS, "routes": []}
    said = {MASTER: "10.0.0.13:7650", GATE: "10.0.0.12:7650"}
    for name, address in said.items():
        routes = ["Local.where", "Room.join"] if name == GATE else []
        status = node | {"address": address, "routes": routes}
        server.says("exec", name, "/status", that=status)
    return server


def test_the_status_shows_conditions_addresses_and_every_node(chat: Server) -> None:
    chat.refuses("exec", ROOM, error="error: container not found\nmore")
    said = run("-n", "games", "status").output.splitlines()
    assert said[:3] == [
        "NanoCluster chat",
        "  Ready: False (RollingOut) gates: 1 of 2",
        "  ws: ws://1.2.3.4:3250",
    ]
    assert said[4].split() == [
        *("POD", "ROLE", "READY", "SESSIONS", "LINKS", "RESTARTS", "AGE", "IP")
    ]
    rows = [line.split() for line in said[5:]]
    assert [row[0] for row in rows] == [MASTER, GATE, ROOM]
    assert rows[1][1:6] == ["gate", "yes", "7", "1/1", "2"]
    assert rows[2][-4:] == ["error:", "container", "not", "found"]
    assert all(words[0] == "--namespace=games" for words in chat.asked())


def test_the_status_shows_what_the_operator_has_counted(chat: Server) -> None:
    told = {
        "gates": {"connections": 1240, "silent": []},
        "routes": [{"service": "Room", "members": 2}, {"service": "Shop"}],
        "drains": [{"pod": GATE, "role": "gate"}],
    }
    chat.says(
        "get", "nanoclusters.nanocluster.io", "chat", that=CLUSTER | {"status": told}
    )
    assert run("status", "chat").output.splitlines()[1:4] == [
        "  clients: about 1240",
        "  members of each service: Room 2, Shop 0",
        f"  leaving: {GATE} (gate)",
    ]


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"connections": 0, "silent": []}, "none"),
        (
            {"connections": 5, "silent": ["a", "b"]},
            "about 5, without those of a, b, who did not answer",
        ),
        ({"silent": ["a"]}, "unknown, without those of a, who did not answer"),
    ],
)
def test_clients_that_nobody_has_counted_are_not_made_up(
    chat: Server, gates: dict[str, Any], said: str
) -> None:
    resource = CLUSTER | {"status": {"gates": gates}}
    chat.says("get", "nanoclusters.nanocluster.io", "chat", that=resource)
    assert run("status", "chat").output.splitlines()[1] == f"  clients: {said}"


def test_a_pod_that_does_not_run_yet_is_not_asked(server: Server) -> None:
    server.says("get", "nanoclusters.nanocluster.io", that={"items": [CLUSTER]})
    status = {"phase": "Pending", "podIP": "", "conditions": []}
    server.says("get", "pods", that={"items": [pod(GATE, "gate", status=status)]})
    last = run("status").output.splitlines()[-1].split()
    assert last[0] == GATE
    assert last[2] == "no"
    assert last[-1] == "pending"
    assert not any("exec" in words for words in server.asked())


def test_a_pod_that_leaves_is_asked_all_the_same(chat: Server) -> None:
    leaving = pod(GATE, "gate", metadata={"deletionTimestamp": "2026-01-01T11:00:00Z"})
    chat.says("get", "pods", that={"items": [leaving]})
    assert "7" in run("status", "chat").output.splitlines()[-1].split()


def test_members_are_the_master_s_with_their_pods(chat: Server) -> None:
    rows = [line.split() for line in run("members", "chat").output.splitlines()]
    assert rows[2] == ["10.0.0.12:7650", "gate", "active", GATE]
    assert rows[3] == ["10.0.0.99:7650", "backend", "draining", "Room"]


def test_sessions_are_those_at_home(chat: Server) -> None:
    held = [
        {"id": "51", "uid": "ann", "address": "9.9.9.9:1", "home": True},
        {"id": "52", "uid": "", "address": "9.9.9.9:2", "home": True},
        {"id": "53", "uid": "bob", "address": "", "home": False},
    ]
    chat.says("exec", GATE, "/sessions?limit=5", that={"sessions": held})
    rows = [
        line.split() for line in run("sessions", "--limit", "5").output.splitlines()
    ]
    assert rows == [
        ["SESSION", "UID", "ADDRESS", "GATE"],
        ["51", "ann", "9.9.9.9:1", GATE],
        ["52", "9.9.9.9:2", GATE],
    ]


def test_routes_tell_how_many_serve_them(chat: Server) -> None:
    rows = [line.split() for line in run("routes").output.splitlines()]
    assert rows == [
        ["ROUTE", "MEMBERS", "KIND"],
        ["Local.where"],
        ["Room.join", "1", "room"],
    ]


def test_a_restart_is_an_annotation_that_the_operator_reads(chat: Server) -> None:
    chat.says("annotate", that="annotated")
    assert run("restart").exit_code == 0
    words = chat.asked()[-1]
    assert words[:3] == ["annotate", "nanoclusters.nanocluster.io", "chat"]
    assert words[3].startswith("nanocluster.io/restart=20")


def test_a_drained_pod_is_deleted_which_its_node_takes_for_a_drain(
    server: Server,
) -> None:
    server.says("delete", "pod", GATE, that="deleted")
    assert run("--context=far", "drain", GATE).exit_code == 0
    assert server.asked() == [["--context=far", "delete", "pod", GATE, "--wait=false"]]


def test_one_of_several_clusters_has_to_be_named(server: Server) -> None:
    other = {"metadata": {"name": "echo"}}
    server.says("get", "nanoclusters.nanocluster.io", that={"items": [CLUSTER, other]})
    result = run("status")
    assert result.exit_code == 1
    assert "which one? There are chat, echo; -n says" in result.output


def test_no_cluster_is_said_to_be_none(server: Server) -> None:
    server.says("get", "nanoclusters.nanocluster.io", that={"items": []})
    assert "there is no NanoCluster" in run("members").output


def test_what_kubectl_refuses_is_told_in_its_words(server: Server) -> None:
    server.refuses("get", error="Error from server (Forbidden): not you")
    result = run("status", "chat")
    assert result.exit_code == 1
    assert result.output == "Error: Error from server (Forbidden): not you\n"


def test_without_a_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL", "/nowhere/kubectl")
    for command in ("status", "restart"):
        result = run(command, "chat")
        assert result.exit_code == 1
        assert "not on your PATH" in result.output


def test_logs_of_a_role_without_pods_are_refused(chat: Server) -> None:
    result = run("logs", "chat", "--role", "bank")
    assert result.exit_code == 1
    assert "chat has no pods of bank" in result.output


METRICS = """\
nano_ready 1
nano_connections{listener="ws"} 12
nano_node_info{role="gate"} 1
"""


def test_top_asks_the_pods_for_their_metrics_through_the_api_server(
    chat: Server,
) -> None:
    place = "/api/v1/namespaces/games/pods/{}:7651/proxy/metrics"
    chat.says("get", f"--raw={place.format(GATE)}", that=METRICS)
    chat.refuses("get", f"--raw={place.format(MASTER)}", error="Error: forbidden\n2")
    status = {"phase": "Pending"}
    pods = [
        pod(ROOM, "backend", "room", status=status),
        pod(GATE, "gate"),
        pod(MASTER, "master"),
    ]
    chat.says("get", "pods", that={"items": pods})
    said = run("top", "--once", "--interval", "0.5").output.splitlines()
    assert said[0].startswith("chat: 3 nodes (2 silent), 12 clients, 0 in/s")
    rows = [line.split() for line in said[2:]]
    assert rows[0][:4] == [MASTER, "master", "Error:", "forbidden"]
    assert rows[1][:4] == [GATE, "gate", "ready", "12"]
    assert rows[2][:3] == [ROOM, "room", "pending"]


@pytest.mark.parametrize(
    "command",
    ["status", "top", "members", "sessions", "routes", "drain", "restart", "logs"],
)
def test_every_command_shows_an_example(command: str) -> None:
    assert f"kubectl nano {command}" in run(command, "--help").output or (
        "kubectl nano -n" in run(command, "--help").output
    )
