"""Builds the Go programs that tests and the bench run, and prints their paths.

``python tests/peers/build.py peer load`` is the whole interface; the Go build
cache makes a second call a matter of a fraction of a second.  The results lie in
``.build/`` at the root of the checkout, outside version control.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["CURE", "BuildError", "build"]

ROOT: Final = Path(__file__).resolve().parents[2]

# name of the program -> (folder of its Go module, package in it)
PROGRAMS: Final[dict[str, tuple[Path, str]]] = {
    "peer": (ROOT / "tests" / "peers", "./cmd/peer"),
    "load": (ROOT / "bench" / "load", "."),
}

CURE: Final = (
    "the Go toolchain is missing: run `make tools`, or install Go 1.23 or newer"
)


class BuildError(Exception):
    """A program could not be built; the text says why and what to do."""


def build(program: str) -> Path:
    """Return the path of *program*, built from its sources as they are now.

    Raises:
        BuildError: There is no Go toolchain, or the sources do not build.
    """
    module, package = PROGRAMS[program]
    if shutil.which("go") is None:
        raise BuildError(CURE)
    target = ROOT / ".build" / program
    target.parent.mkdir(exist_ok=True)
    command = ["go", "build", "-o", str(target), package]
    done = subprocess.run(
        command, cwd=module, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        message = f"`{' '.join(command)}` failed in {module}:\n{done.stderr}"
        raise BuildError(message)
    return target


def main() -> None:
    """Build the programs named on the command line."""
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in PROGRAMS]
    if unknown or not wanted:
        sys.exit(f"usage: python tests/peers/build.py {' '.join(PROGRAMS)}")
    try:
        for name in wanted:
            sys.stdout.write(f"{build(name)}\n")
    except BuildError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
