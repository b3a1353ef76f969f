"""Make the Python of every ``.proto`` below this folder.

Run as ``python proto/generate.py``; it needs the dependency group ``proto``.  The
path of a ``.proto`` is the path of the Python package that it becomes, which makes
the generated imports absolute.  The output is committed: installing the package
needs no compiler.  ``--check`` writes nothing and fails when the committed output
is not what the sources give, and a test runs it.
"""

# ruff: noqa: INP001 -- a program beside its input, not a module of a package

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

import grpc_tools  # type: ignore[import-untyped]
from grpc_tools import protoc

ROOT: Final = Path(__file__).resolve().parent
TARGET: Final = ROOT.parent / "node" / "src"
PLUGINS: Final = ("mypy", "mypy_grpc")
SERVICE: Final = re.compile(r"^service ", re.MULTILINE)


def sources() -> list[Path]:
    """Every ``.proto``, relative to this folder."""
    return sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.proto"))


def generate(target: Path) -> None:
    """Write the modules and their stubs below *target*.

    What has no service gets no module for gRPC either: that would import it.

    Raises:
        SystemExit: The compiler refused a source; it has said why by then.
    """
    every = sources()
    _compile(every, f"--python_out={target}", f"--mypy_out={target}")
    _compile(
        [path for path in every if SERVICE.search((ROOT / path).read_text())],
        f"--grpc_python_out={target}",
        f"--mypy_grpc_out={target}",
    )


def _compile(files: list[Path], *outputs: str) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    status = protoc.main(
        [
            "protoc",
            f"-I{ROOT}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            *(
                f"--plugin=protoc-gen-{it}={scripts / f'protoc-gen-{it}'}"
                for it in PLUGINS
            ),
            *outputs,
            *map(str, files),
        ]
    )
    if status:
        raise SystemExit(status)


def stale() -> list[Path]:
    """The committed files that differ from what the sources give now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        wanted = {path.relative_to(fresh) for path in fresh.rglob("*_pb2*")}
        folders = {path.parent for path in sources()}
        committed = {
            path.relative_to(TARGET)
            for folder in folders
            for path in (TARGET / folder).glob("*_pb2*.py*")
        }
        return sorted(
            path
            for path in wanted | committed
            if not (path in wanted and path in committed)
            or (fresh / path).read_bytes() != (TARGET / path).read_bytes()
        )


def main() -> int:
    """Generate, or check; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if not parser.parse_args().check:
        generate(TARGET)
        return 0
    for path in (old := stale()):
        sys.stderr.write(f"{path} is stale: run python proto/generate.py\n")
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main())
