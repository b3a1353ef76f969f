from __future__ import annotations

import io
from pathlib import Path

import pytest

from nano.cli.local import processes
from nano.cli.tables import duration
from nano.local.fingerprint import fingerprint, sources
from nano.local.plan import ProcessSpec
from nano.local.rolling import Changes, compare
from nano_manifest import NanoCluster, from_object

from .test_plan import CLUSTER, Terminal, planned

FILES = {
    "chat/__init__.py": "",
    "chat/rooms.py": "from . import words\nfrom chat.deep.down import x\nimport json\n",
    "chat/words.py": "from .more import thing\n",
    "chat/more.py": "",
    "chat/deep/__init__.py": "import helper",
    "chat/deep/down.py": "def late():\n    import later\n",
    "chat/unused.py": "",
    "helper.py": "",
    "later.py": "",
    "broken.py": "def (:",
    "gates.py": "",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_sources_are_what_the_component_imports_from_its_folder(app: Path) -> None:
    assert sorted(sources(["chat.rooms"], app)) == [
        "chat/__init__.py",
        "chat/deep/__init__.py",
        "chat/deep/down.py",
        "chat/more.py",
        "chat/rooms.py",
        "chat/words.py",
        "helper.py",
        "later.py",
    ]
    assert list(sources(["broken"], app)) == ["broken.py"]
    assert sources(["nowhere.to.be.found"], app) == {}


def cluster(**changes: object) -> NanoCluster:
    spec = {
        "gates": {"components": ["gates:Gate"]},
        "backends": [
            {"name": "room", "components": ["chat.rooms:Room"]},
            {"name": "more", "components": ["chat.more:More"]},
        ],
    }
    return from_object(
        {
            "apiVersion": "nanocluster.io/v1alpha1",
            "kind": "NanoCluster",
            "metadata": {"name": "chat"},
            "spec": spec | changes,
        }
    )


def changed(app: Path, before: NanoCluster, after: NanoCluster) -> set[str]:
    kinds = ("master", "gate", "room", "more")
    return {
        kind
        for kind in kinds
        if fingerprint(before, kind, app) != fingerprint(after, kind, app)
    }


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        ({}, set()),
        ({"settings": {"logLevel": "debug"}}, {"master", "gate", "room", "more"}),
        ({"master": {"env": [{"name": "A", "value": "1"}]}}, {"master"}),
        ({"gates": {"components": ["gates:Gate"], "replicas": 7}}, set()),
        ({"gates": {"components": ["gates:Gate"], "processes": 2}}, set()),
        ({"gates": {"components": ["gates:Gate"], "image": "x"}}, set()),
        (
            {
                "gates": {
                    "components": ["gates:Gate"],
                    "listeners": [{"name": "a", "transport": "tcp", "port": 4000}],
                }
            },
            {"gate"},
        ),
        (
            {
                "backends": [
                    {"name": "room", "replicas": 3, "components": ["chat.rooms:Room"]},
                    {"name": "more", "components": ["chat.more:Other"]},
                ]
            },
            {"more"},
        ),
    ],
)
def test_a_kind_changes_with_what_it_reads_of_the_manifest(
    app: Path, after: dict[str, object], kinds: set[str]
) -> None:
    assert changed(app, cluster(), cluster(**after)) == kinds


@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("chat/rooms.py", {"room"}),
        ("chat/more.py", {"room", "more"}),
        ("helper.py", {"room"}),
        ("gates.py", {"gate"}),
        ("chat/unused.py", set()),
    ],
)
def test_a_kind_changes_with_its_components_source(
    app: Path, file: str, kinds: set[str]
) -> None:
    all_kinds = ("master", "gate", "room", "more")
    before = {kind: fingerprint(cluster(), kind, app) for kind in all_kinds}
    (app / file).write_text("# changed\n" + FILES[file])
    after = {kind: fingerprint(cluster(), kind, app) for kind in all_kinds}
    assert {kind for kind in all_kinds if before[kind] != after[kind]} == kinds


def test_what_has_a_new_fingerprint_is_replaced_and_the_rest_kept() -> None:
    specs: list[ProcessSpec] = list(planned(CLUSTER).values())
    after = {spec.name: "1" for spec in specs} | {"room-2": "2"}
    before = {name: "1" for name in after if name != "gate-2"} | {"old-1": "1"}
    changes = compare(before, specs, before, after)
    assert changes == Changes(
        replaced=["room-2"],
        added=["gate-2"],
        removed=["old-1"],
        kept=["master", "room-1", "wallet-1", "gate-1"],
    )
    assert str(changes) == (
        "replaced: room-2; added: gate-2; removed: old-1; "
        "kept: master, room-1, wallet-1, gate-1"
    )


def test_everything_is_replaced_when_that_is_asked_for() -> None:
    specs = list(planned(CLUSTER).values())
    marks = {spec.name: "1" for spec in specs}
    assert not compare(marks, specs, marks, marks)
    changes = compare(marks, specs, marks, marks, everything=True)
    assert changes.replaced == [spec.name for spec in specs]


# ----------------------------------------------------------------------- table

NODES = [
    {
        "name": "master",
        "role": "master",
        "pid": 7,
        "address": "127.0.0.1:20001",
        "ready": True,
        "reason": None,
        "restarts": 0,
        "sessions": 0,
    },
    {
        "name": "gate-1",
        "role": "gate",
        "pid": 0,
        "address": "127.0.0.1:20003",
        "ready": False,
        "reason": "it is starting",
        "restarts": 12,
        "sessions": None,
    },
]


def test_the_table_is_for_people() -> None:
    assert list(processes(NODES, io.StringIO())) == [
        "NODE    ROLE    PID  ADDRESS          READY               RESTARTS  SESSIONS",
        "master  master    7  127.0.0.1:20001  yes                        0         0",
        "gate-1  gate      -  127.0.0.1:20003  no: it is starting        12         -",
    ]


def test_the_table_has_colours_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, master, gate = processes(NODES, Terminal())
    assert "\x1b[32myes" in master
    assert "\x1b[31mno: it is starting" in gate
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(processes(NODES, Terminal()))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (200, "3 min 20 s"),
        (18_130, "5 h 2 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said
