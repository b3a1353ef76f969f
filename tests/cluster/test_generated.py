"""The committed output of ``proto/generate.py`` is what the sources give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_up_to_date() -> None:
    pytest.importorskip(
        "grpc_tools", reason="needs the dependency group proto: make install"
    )
    check = subprocess.run(
        [sys.executable, str(ROOT / "proto" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert check.returncode == 0, check.stderr


def test_importing_nano_does_not_import_grpc() -> None:
    program = "import sys, nano; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
