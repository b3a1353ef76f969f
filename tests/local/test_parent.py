from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nano.local.parent import PARENT_FD, stop_with_parent

pytestmark = pytest.mark.process

CHILD = """\
import os, signal, subprocess, sys
from nano.local.parent import PARENT_FD, stop_with_parent
def clean(*_):
    os.write(1, b"clean stop\\n")  # print may be at work below this handler
    sys.exit(0)
signal.signal(signal.SIGINT, clean)
descriptor = int(os.environ[PARENT_FD])
assert stop_with_parent()
assert PARENT_FD not in os.environ
assert not os.get_inheritable(descriptor)
print("here", flush=True)
while True:
    signal.pause()
"""


def test_who_has_no_supervisor_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_FD, raising=False)
    assert stop_with_parent() is False


def test_the_end_of_the_pipe_is_a_clean_stop(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        pass_fds=[reading],
        env={**os.environ, PARENT_FD: str(reading)},
        text=True,
    ) as child:
        os.close(reading)
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        os.close(writing)
        assert child.stdout.read() == "clean stop\n"
        assert child.wait(30) == 0
