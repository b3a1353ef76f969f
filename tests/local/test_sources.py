"""Components from a ConfigMap in the manifest's file, on this machine."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nano.errors import UsageError
from nano.local.ports import free_ports
from nano.local.sources import check_sources, write_sources
from nano_manifest import NanoCluster, load_with_sources
from nano_manifest.sources import Sources

from .test_up import SECONDS, Up

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
FIRST = next(
    text
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    if "kind: ConfigMap" in text
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of the page, with a port that is free here."""
    (port,) = free_ports(1)
    listener = f"{{name: ws, transport: websocket, port: {port}}}"
    gates = f"spec:\n  gates: {{replicas: 1, listeners: [{listener}]}}\n"
    path = tmp_path / "cluster.yaml"
    path.write_text(FIRST.replace("spec:\n", gates))
    (tmp_path / "tmp").mkdir()
    return path


@pytest.fixture
def up(file: Path) -> Iterator[Up]:
    join = ("RoomService.join", '{"name": "ann"}')
    started = Up(file.parent, "--try", *join)
    try:
        yield started
    finally:
        started.end(signal.SIGTERM)
        assert started.process.stdout is not None
        started.process.stdout.close()


def read(path: Path, old: str = "", new: str = "") -> tuple[NanoCluster, Sources]:
    path.write_text(path.read_text().replace(old, new))
    return load_with_sources(path)


def test_each_backend_has_a_folder_with_its_files(file: Path, tmp_path: Path) -> None:
    cluster, sources = read(file)
    check_sources(cluster, sources, single=False)
    places = write_sources(cluster, sources, tmp_path)
    assert {
        name: {path.name: path.read_text() for path in place.iterdir()}
        for name, place in places.items()
    } == {"room": sources["first-source"]}


@pytest.mark.parametrize(
    ("old", "new", "lack"),
    [
        ("configMap: first-source", "configMap: other", "there is no ConfigMap other"),
        ("rooms.py:", "room.py:", "ConfigMap first-source has no key rooms.py"),
    ],
)
def test_components_that_are_not_in_the_file_are_asked_for(
    file: Path, old: str, new: str, lack: str
) -> None:
    cluster, sources = read(file, old, new)
    with pytest.raises(UsageError) as caught:
        check_sources(cluster, sources, single=False)
    assert str(caught.value) == (
        f"spec.backends[0].source.configMap: {lack} in the file of the manifest; "
        "add it there as a document of its own, or remove source to use the modules "
        "beside it"
    )


def test_one_process_has_no_place_for_several_sources(file: Path) -> None:
    with pytest.raises(UsageError, match="leave --single out"):
        check_sources(*read(file), single=True)


@pytest.mark.process
@pytest.mark.timeout(180)
def test_the_file_of_the_page_runs_and_a_reload_takes_its_components_up(
    file: Path, up: Up
) -> None:
    up.until("RoomService.join answered")
    assert '{"welcome":"ann"}' in up.said
    read(file, "welcome", "hello")
    reload = [sys.executable, "-m", "nano.cli", "reload", "-f", str(file)]
    done = subprocess.run(
        reload, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "room-1: ready" in done.stdout
    assert "gate-1: ready" not in done.stdout
