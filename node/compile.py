"""Compiles the modules that every message passes through, when a wheel is built.

The same source runs interpreted and, translated to C by mypyc, in less time; this hook
of hatchling makes the second of the first.  It needs a C compiler and Python's headers,
and is off unless ``HATCH_BUILD_HOOK_ENABLE_CUSTOM`` is set, as the image's build and
``make compiled`` do.  What is compiled is listed in ``pyproject.toml``.

The compiled modules go into the wheel next to their sources, which stay for tracebacks
and readers, and nothing is written into the checkout, where it would be imported in
place of what is edited there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# types are checked by `make lint`, with all that the project imports installed
ARGUMENTS = ["--ignore-missing-imports", "--follow-imports=silent"]

HELP = """\
What every message passes through could not be compiled; mypyc's words are above.
It needs a C compiler and Python's headers: on Debian the packages gcc and python3-dev.
Without HATCH_BUILD_HOOK_ENABLE_CUSTOM the same modules are installed as source."""


class CompileHook(BuildHookInterface):
    """Adds what mypyc makes of the listed modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the project is installed to be edited."""
        if version == "editable":
            return
        self._work = TemporaryDirectory(prefix="nano-compile-")
        sources = Path(self._work.name) / "src"
        shutil.copytree(Path(self.root) / "node/src", sources)
        command = [sys.executable, "-m", "mypyc", *ARGUMENTS, *self.config["modules"]]
        run = subprocess.run(
            command,
            cwd=sources,
            env={**os.environ, "MYPY_CACHE_DIR": f"{self._work.name}/cache"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shutil.rmtree(sources / "build", ignore_errors=True)
        made = list(sources.rglob("*.so"))
        if run.returncode or not made:
            self.app.abort(f"{run.stdout}\n{HELP}")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for module in made:
            build_data["force_include"][str(module)] = str(module.relative_to(sources))

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        """Remove what was compiled: it is in the wheel."""
        if version != "editable":
            self._work.cleanup()
