"""Installs what the tests of the JavaScript client need beside Node.js.

``python tests/js/tools.py`` is the whole interface, called by ``make tools``: the
packages of ``package-lock.json``, and no others, go to ``.build/js`` at the root of
the checkout, outside version control.  Foreign clients are among them: they are
tried, never copied.  A second call costs nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["CURE", "FOLDER", "ToolsError", "install", "installed"]

HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = HERE.parents[1] / ".build" / "js"
FILES: Final = ("package.json", "package-lock.json")
MODULES: Final = FOLDER / "node_modules"

CURE: Final = "run `make tools`; it needs Node.js 20 or newer, with npm"


class ToolsError(Exception):
    """Something could not be installed; the text says why and what to do."""


def installed() -> bool:
    """Return whether ``.build/js`` has what the lock file says."""
    wanted = json.loads((HERE / "package-lock.json").read_text())["packages"]
    return all(
        _version(FOLDER / place) == package["version"]
        for place, package in wanted.items()
        if place and not package.get("optional")
    )


def _version(package: Path) -> str | None:
    try:
        text = (package / "package.json").read_text()
    except OSError:
        return None
    version: str | None = json.loads(text).get("version")
    return version


def install() -> Path:
    """Return the folder of the packages, installed if they were not.

    Raises:
        ToolsError: There is no npm, or it fails.
    """
    if installed():
        return MODULES
    npm = shutil.which("npm")
    if npm is None:
        raise ToolsError(CURE)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(HERE / name, FOLDER / name)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=FOLDER, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        message = f"`{' '.join(command)}` failed in {FOLDER}:\n{done.stderr}"
        raise ToolsError(message)
    return MODULES


def main() -> None:
    """Install, and print where."""
    try:
        sys.stdout.write(f"{install()}\n")
    except ToolsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
