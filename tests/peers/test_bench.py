"""The bench measures: answers are checked on both sides, and goals compared.

How fast anything is, is nothing that a test may judge.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.process]

ROOT = Path(__file__).parents[2]
SHORT = ("--rounds", "1", "--seconds", "0.3", "--warmup", "0.2")
CROWD = 1000

ROWS = {
    "node-*": ["node-50", "node-1000", "node-k16"],
    "json-*": ["json-50", "json-1000", "json-k16"],
    "ws-*,tls-*": ["ws-50", "ws-k16", "tls-50"],
    "broadcast-*,merged-*": ["broadcast-200", "broadcast-1000", "merged-200"],
    "cluster-*": ["cluster-50", "cluster-1000", "cluster-k16"],
    "go-*": ["go-backend-50", "go-backend-k16", "go-gate-50", "go-gate-k16"],
    "idle-*": ["idle-tcp", "idle-ws", "idle-tls"],
}


def bench(*options: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
@pytest.mark.parametrize("pattern", ROWS)
def test_rows_are_answered_rightly_by_both_sides_and_compared(
    pattern: str, tmp_path: Path
) -> None:
    output = tmp_path / "bench.json"
    few = ("--crowd", str(CROWD))
    done = bench(*SHORT, *few, "--rows", pattern, "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ROWS[pattern])} rows, about " in done.stderr

    found = json.loads(output.read_text())
    assert [row["name"] for row in found["rows"]] == ROWS[pattern]
    assert found["failures"] == {}
    for row in found["rows"]:
        assert_measured(row)
        assert row["title"] in done.stdout
        assert f"{row['ratio']:.2f}" in done.stdout
        assert row["verdict"] in done.stdout
    if len(os.sched_getaffinity(0)) > 1:
        assert "load on core" in found["machine"]["layout"]


def assert_measured(row: dict[str, Any]) -> None:
    assert row["ours"]["faults"] == 0
    for side in ("ours", "go"):
        (only,) = row[side]["rounds"]
        assert only["served"] > 0
        if row["kind"] == "idle":
            assert only["after"] > only["before"] > 0
            assert only["served"] == only["c"] == CROWD
        else:
            assert only["user"] + only["system"] > 0
            assert row[side]["figure"] == only["rate"] > 0
    figures = [row[side]["figure"] for side in ("ours", "go")]
    assert row["ratio"] == pytest.approx(figures[0] / figures[1])
    assert row["spread"] == [row["ratio"], row["ratio"]]
    if row["kind"] == "idle":
        reached = [row["must"] >= figures[0], row["aim"] >= figures[0]]
    else:
        reached = [row["must"] <= row["ratio"], row["aim"] <= row["ratio"]]
    words = {(False, False): "short", (True, False): "met", (True, True): "aim met"}
    assert row["verdict"] == words[reached[0], reached[1]]


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_of_several_rounds_the_median_ratio_of_neighbours_is_told(
    tmp_path: Path,
) -> None:
    output = tmp_path / "bench.json"
    options = ("--rounds", "3", "--seconds", "0.2", "--warmup", "0.1")
    done = bench(*options, "--rows", "json-50", "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(output.read_text())["rows"]
    rates = [[one["rate"] for one in row[side]["rounds"]] for side in ("ours", "go")]
    ratios = [ours / go for ours, go in zip(*rates, strict=True)]
    assert len(ratios) == 3
    assert row["ratio"] == pytest.approx(statistics.median(ratios))
    assert row["spread"] == pytest.approx([min(ratios), max(ratios)])


WRONG = """
    answered = 0

    @handler
    def echo(self, session: Session, words: Words) -> Words:
        self.answered += 1
        return words if self.answered != 300 else Words(text="something else")
"""


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_a_wrong_answer_of_ours_is_told_and_is_a_failure(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bench", tmp_path / "bench")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    echo = tmp_path / "bench" / "components" / "echo.py"
    right, _, _ = echo.read_text().partition("    @handler")
    echo.write_text(right + WRONG)
    done = bench(*SHORT, "--rows", "json-50", root=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    # by how fast the machine is it comes while the nodes settle, or is measured
    told = r"! json-50(: ours has| was not measured:) 1 wrong"
    assert re.search(told, done.stdout), done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_our_processor_time_is_told_alone() -> None:
    done = bench(*SHORT, "--cpu-only", "--rows", "node-50,merged-200,idle-tcp")
    assert done.returncode == 0, done.stdout + done.stderr
    described, table = done.stdout.split("\n\n")
    assert f"our nodes: Python {platform.python_version()}, built with" in described
    assert described.endswith("; as source (slower: make compiled)")
    names = [line.split()[0] for line in table.splitlines()[1:]]
    assert names == ["node-50", "merged-200"]  # idle connections have no messages


NOTING = """
import pathlib
name = pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\\0")[1].decode()
with pathlib.Path(__file__).with_name("seen").open("a") as seen:
    print(pathlib.Path(name).name, file=seen)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_nodes_import_what_the_bench_does_wherever_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOTING)
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(tmp_path, ROOT))
    done = bench(*SHORT, "--cpu-only", "--rows", "node-50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "seen").read_text().split().count("nanoctl") >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_our_side_is_measured_beside_itself_without_counting() -> None:
    done = bench(*SHORT, "--metrics", "--rows", "node-50,cluster-50,go-gate-50")
    assert done.returncode == 0, done.stdout + done.stderr
    _, table = done.stdout.split("\n\n")
    head, *lines = [line.split() for line in table.splitlines()]
    assert head[:2] == ["counted", "uncounted"]
    assert [line[0] for line in lines] == ["node-50", "cluster-50"]  # all ours
    assert all(float(line[3]) > 0 for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_instructions_are_counted_where_valgrind_is() -> None:
    done = bench("--instructions", "--rows", "node-50")
    if shutil.which("valgrind"):
        assert done.returncode == 0, done.stdout + done.stderr
        assert "instructions for a message" in done.stdout
    else:
        assert done.returncode == 1
        assert "valgrind is missing: install" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_calls_are_counted_for_a_message() -> None:
    done = bench(*SHORT, "--calls", "--rows", "node-50,cluster-50")
    assert done.returncode == 0, done.stdout + done.stderr
    for counted in done.stdout.split("\n\n")[:2]:
        head, *rest = counted.splitlines()
        lines = [line.split(maxsplit=1) for line in rest]
        of = {name: float(count) for count, name in lines}
        (handler,) = (name for name in of if name.endswith(" EchoService.echo"))
        found = re.search(r"of (\d+) messages", head)
        assert found, head
        # more than is known: each of 50 connections had one on its way at the end, and
        # an attempt on nodes that were not ready may have failed with some
        assert 1.0 <= of[handler] < 1.01 + 60 / int(found[1])
        assert of["of functions in Python"] > of[handler]


def test_an_unknown_row_is_refused_with_those_that_there_are() -> None:
    done = bench("--rows", "warp-*")
    assert done.returncode == 2
    there = ", ".join(name for names in ROWS.values() for name in names)
    assert f"no row 'warp-*'; there are {there}" in done.stderr


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    done = bench("--calls", "--cpu-only")
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr
    done = bench("--cpu-only", "--output", str(tmp_path / "bench.json"))
    assert done.returncode == 2
    assert "--output is of a comparison" in done.stderr
    done = bench("--crowd", "0")
    assert done.returncode == 2
    assert "--crowd is at least 1" in done.stderr


def test_every_row_is_explained() -> None:
    done = bench("--help")
    assert done.returncode == 0
    readme = (ROOT / "bench" / "README.md").read_text()
    for name in (name for names in ROWS.values() for name in names):
        assert f"  {name} " in done.stdout
        assert f"`{name}`" in readme
