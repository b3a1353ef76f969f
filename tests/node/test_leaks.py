"""A cluster that has stopped leaves no task, no socket, no thread and no warning."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.process
def test_a_stopped_cluster_leaves_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.node.leaks", "4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    assert [life["tasks"] for life in lives] == [[]] * 4
    assert lives[-1]["threads"] == lives[0]["threads"]
    assert [life["files"] for life in lives] == [0] * 4
    # a busy machine may make asyncio complain of slow steps; of leaks it must not
    assert not re.search("Warning|Traceback|Exception|never", done.stderr), done.stderr
