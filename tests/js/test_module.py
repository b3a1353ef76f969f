"""The module by itself: its own tests, its types, its package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nano.version import __version__

from .nodejs import NodeJs

pytestmark = [pytest.mark.process]

MODULE = Path(__file__).parents[2] / "clients" / "js"


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


async def test_the_module_passes_its_own_tests(node: NodeJs) -> None:
    said = await node.run("--test", *sorted((MODULE / "test").glob("*.test.js")))
    assert "fail 0" in said
    assert "pass 0" not in said


async def test_the_types_in_git_are_those_of_the_sources(
    node: NodeJs, modules: Path, tmp_path: Path
) -> None:
    tsc = modules / "typescript" / "bin" / "tsc"
    await node.run(tsc, "-p", MODULE / "tsconfig.json", "--outDir", tmp_path)
    assert texts(tmp_path) == texts(MODULE / "types"), "run `npm run types` there"


async def test_a_typed_program_that_is_right_compiles_and_a_wrong_one_does_not(
    node: NodeJs, modules: Path, tmp_path: Path
) -> None:
    tsc = modules / "typescript" / "bin" / "tsc"
    package = tmp_path / "node_modules" / "nanocluster"
    package.parent.mkdir()
    package.symlink_to(MODULE, target_is_directory=True)
    program = tmp_path / "program.mts"
    shutil.copyfile(Path(__file__).parent / "programs" / "typed.mts", program)
    flags = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022"]
    # mistakes in it are marked as expected, so that none of them goes unnoticed
    await node.run(tsc, *flags, "--lib", "es2022,dom", "--types", "", program)


def test_the_package_names_files_that_are_there() -> None:
    package = json.loads((MODULE / "package.json").read_text())
    named = [package["main"], package["types"], *package["files"]]
    for export in package["exports"].values():
        named += [export] if isinstance(export, str) else export.values()
    assert [name for name in named if not (MODULE / name).exists()] == []


def test_the_package_has_no_dependencies_and_our_version() -> None:
    package = json.loads((MODULE / "package.json").read_text())
    assert {key for key in package if "ependencies" in key} == set()
    assert package["version"] == __version__
    assert package["private"] is True  # until somebody publishes it
