"""How much of the protocol its own tests reach, and how much the fuzzing does.

Each is run as a process of its own: coverage must see the protocol being imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def covered(folder: Path, module: str, *args: str) -> dict[str, float]:
    """Run a module and return what coverage says of ``nano.protocol`` in all."""
    data = f"--data-file={folder / 'data'}"
    python = [sys.executable, "-m", "coverage"]
    options = "--branch", "--source=nano.protocol"
    _run([*python, "run", data, *options, "-m", module, *args])
    report = folder / "report.json"
    _run([*python, "json", data, "-q", "-o", str(report)])
    totals: dict[str, float] = json.loads(report.read_text())["totals"]
    return totals


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        # explicit examples are enough to reach everything, and the same each time
        env=os.environ | {"NANO_REQUIRE_ALL": "1", "NANO_EXAMPLES": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_tests_of_the_protocol_take_every_branch_of_it(tmp_path: Path) -> None:
    options = "-q", "-p", "no:cacheprovider", "-p", "no:cov"
    totals = covered(tmp_path, "pytest", "tests/protocol", *options)
    assert totals["num_branches"] > 100
    assert totals["missing_lines"] == 0
    assert totals["missing_branches"] == 0


def test_the_fuzzed_cases_reach_the_protocols_lines(tmp_path: Path) -> None:
    args = "--number", "3000", "--seed", "1"
    totals = covered(tmp_path, "tests.endurance.feed", *args)
    assert totals["covered_lines"] / totals["num_statements"] >= 0.95
