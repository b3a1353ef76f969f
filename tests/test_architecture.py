"""The layers hold, and the check that says so would notice if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    "nano": ROOT / "node/src/nano",
    "nano_manifest": ROOT / "node/src/nano_manifest",
    "nano_operator": ROOT / "operator/src/nano_operator",
}
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the imports of the packages in *folder* against our contracts."""
    program = "from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", "pyproject.toml"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, which may be spoilt."""
    folder = tmp_path_factory.mktemp("copy")
    for name, source in SOURCES.items():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_import_is_allowed(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


ROGUES = [
    ("nano/protocol/rogue.py", "import nano.runtime.session", "Layers of nano"),
    ("nano/protocol/rogue.py", "import asyncio", "does no input, output, time"),
    ("nano/runtime/rogue.py", "import nano.transports.wheel", "Layers of nano"),
    ("nano/cluster/rogue.py", "import nano.transports.wheel", "Layers of nano"),
    ("nano/transports/rogue.py", "import nano.cluster.link", "Layers of nano"),
    ("nano/transports/rogue.py", "import grpc", "Only nano.cluster speaks gRPC"),
    ("nano/cluster/rogue.py", "import nano.client", "Layers of nano"),
    ("nano/cluster/rogue.py", "import nano_manifest", "read at the top only"),
    ("nano_manifest/rogue.py", "import nano.errors", "The manifest stands alone"),
    ("nano_operator/rogue.py", "import nano.errors", "do not know each other"),
    ("nano/cluster/rogue.py", "import kopf", "modules of the operator speak"),
    ("nano/new_part/__init__.py", "", "Layers of nano"),
]


def test_rogue_imports_are_noticed(copy: Path) -> None:
    broken = set()
    for path, line, _ in ROGUES:
        file = copy / path
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as rogue:
            rogue.write(f"{line}\n")
    try:
        done = lint(copy)
    finally:
        for path, _, _ in ROGUES:
            (copy / path).unlink(missing_ok=True)
        (copy / "nano/new_part").rmdir()
    broken = {line for line in done.stdout.splitlines() if line.endswith("BROKEN")}
    assert done.returncode != 0
    for _, line, contract in ROGUES:
        assert [it for it in broken if contract in it], (line, done.stdout)


def test_no_part_of_nano_is_without_a_layer() -> None:
    (layers,) = [c for c in CONFIG["contracts"] if c["type"] == "layers"]
    assert layers["exhaustive"] is True
    assert layers["containers"] == ["nano"]
    named = {
        part.strip()
        for layer in layers["layers"]
        for part in layer.replace("|", ":").split(":")
    }
    folder = SOURCES["nano"]
    parts = {
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert named == parts - {"__init__"}


def test_every_package_is_checked() -> None:
    assert set(CONFIG["root_packages"]) == set(SOURCES)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    packages = wheel["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).name for package in packages} == set(SOURCES)
