"""What the packages offer, and what importing them costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import nano
import nano.client
import nano.testing
import nano_manifest

NODE = Path(nano.__file__).parent.parent

MODULES = sorted(
    ".".join(path.relative_to(NODE).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("nano", "nano_manifest")
    for path in (NODE / folder).rglob("*.py")
    if "_pb2" not in path.name
)
PUBLIC = [
    name
    for name in MODULES
    if not any(part.startswith("_") for part in name.split("."))
    and not name.endswith(".pb")
]


def test_an_application_finds_what_it_needs_in_nano() -> None:
    assert nano.__all__ == [
        "Candidate",
        "Component",
        "Deferred",
        "Delivery",
        "GateAddress",
        "Group",
        "Handshake",
        "HandshakeRefused",
        "Message",
        "NanoError",
        "NodeInfo",
        "Online",
        "Pipeline",
        "Reached",
        "Replies",
        "RequestError",
        "Router",
        "Session",
        "SessionCounts",
        "Timer",
        "__version__",
        "handler",
    ]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            nano.client,
            [
                "Backoff",
                "Client",
                "Closed",
                "Greeting",
                "Kicked",
                "Pushes",
                "Reconnecting",
                "State",
                "connect",
            ],
        ),
        (
            nano.testing,
            [
                "Course",
                "Line",
                "LocalCluster",
                "ManualClock",
                "MemoryClient",
                "MemoryCluster",
                "MemoryNode",
                "NothingHappens",
            ],
        ),
    ],
)
def test_tools_for_programs_and_tests_are_where_they_belong(
    module: ModuleType, names: list[str]
) -> None:
    assert module.__all__ == names


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_says_what_it_is_about_and_what_it_offers(name: str) -> None:
    tree = ast.parse(source(name).read_text())
    docstring = ast.get_docstring(tree)
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?"))
    module = importlib.import_module(name)
    if defines_something(tree):
        assert module.__all__
    offered = getattr(module, "__all__", [])
    assert offered == sorted(set(offered), key=ruff_order)
    assert [item for item in offered if not hasattr(module, item)] == []


def source(name: str) -> Path:
    """Where a module is written; what is imported may be compiled."""
    place = NODE.joinpath(*name.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def defines_something(tree: ast.Module) -> bool:
    """A module that holds more than words, and more than private things."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        for node in tree.body
    )


def ruff_order(name: str) -> tuple[int, str]:
    """Order as ruff does: constants, classes, functions."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", nano_manifest.__all__)
def test_the_manifests_names_are_documented(name: str) -> None:
    item = getattr(nano_manifest, name)
    if inspect.isclass(item) or inspect.isfunction(item):
        assert inspect.getdoc(item)


@pytest.mark.parametrize(
    "name",
    ["Component", "Deferred", "Group", "Message", "Session", "handler", "RequestError"],
)
def test_everything_public_of_the_api_is_documented(name: str) -> None:
    item = getattr(nano, name)
    assert inspect.getdoc(item)
    if inspect.isclass(item):
        for attribute, member in vars(item).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                assert inspect.getdoc(member), attribute


def imported_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after *statement*."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not done.stderr
    return set(json.loads(done.stdout))


HEAVY = {"aiohttp", "click", "google.protobuf", "grpc", "uvloop", "websockets", "yaml"}


def test_importing_nano_imports_no_server() -> None:
    modules = imported_by("import nano")
    assert not modules & (HEAVY | {"kopf", "kubernetes", "nano_manifest"})
    before = imported_by("import asyncio, logging, msgspec, prometheus_client")
    assert len(modules - before) < 60


def test_importing_the_client_imports_no_node() -> None:
    modules = imported_by("import nano.client")
    assert not modules & {"aiohttp", "click", "grpc", "nano.node", "nano_manifest"}


def test_importing_the_manifest_imports_no_node() -> None:
    modules = imported_by("import nano_manifest")
    assert not modules & {"aiohttp", "click", "grpc", "nano", "kopf", "kubernetes"}


def test_importing_a_node_imports_no_operator() -> None:
    modules = imported_by("import nano.node, nano.cli")
    assert not modules & {"kopf", "kubernetes", "nano_operator", "pytest"}
