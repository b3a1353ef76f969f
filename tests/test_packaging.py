"""The folder called ``operator`` must never become a package.

Such a package would hide the standard library's module from whatever starts in
the root of the checkout.  Five rules keep it harmless, and each has its test.  The last
tests are of what else goes into the wheel.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from nano.version import compiled

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("folder", ["operator", "node"])
def test_a_project_folder_is_not_a_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", ["operator", "node"])
def test_no_tests_live_below_a_project_folder(folder: str) -> None:
    below = ROOT / folder
    strays = [*below.rglob("conftest.py"), *below.rglob("test_*.py")]
    assert not strays


def test_no_test_folder_is_a_package() -> None:
    tests = ROOT / "tests"
    assert not list(tests.rglob("__init__.py"))
    assert not (tests / "operator").exists()
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "--import-mode=importlib" in config["tool"]["pytest"]["addopts"]


def test_the_operator_is_run_as_a_module() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "nano_operator" in dockerfile
    assert "operator/src/nano_operator/__main__.py" not in dockerfile
    assert "PYTHONSAFEPATH=1" in dockerfile


def test_the_standard_library_keeps_its_operator_module() -> None:
    stdlib = sysconfig.get_paths()["stdlib"]
    assert str(operator.__file__).startswith(stdlib)
    # from the root of the checkout, with it first on the path: the worst case
    found = subprocess.run(
        [sys.executable, "-c", "import operator, enum; print(operator.__file__)"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.startswith(stdlib)


def test_the_client_of_javascript_is_in_the_wheel_as_it_is() -> None:
    # a link, which hatchling follows: `nanoctl new` copies what is behind it
    link = ROOT / "node" / "src" / "nano" / "cli" / "project" / "client"
    assert link.is_symlink()
    assert link.resolve() == ROOT / "clients" / "js" / "src"
    assert not link.readlink().is_absolute()
    stage = (ROOT / "Dockerfile").read_text().partition(" AS wheel\n")[2]
    assert "COPY clients/js/src clients/js/src\n" in stage.partition("pip wheel")[0]


CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOK = CONFIG["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
COMPILED = [path.removesuffix(".py").replace("/", ".") for path in HOOK["modules"]]


def test_the_image_is_compiled_by_the_hook_and_nobody_else_is() -> None:
    assert (ROOT / HOOK["path"]).is_file()
    assert HOOK["enable-by-default"] is False
    stage = (ROOT / "Dockerfile").read_text().partition(" AS wheel\n")[2]
    before = stage.partition("pip wheel")[0]
    assert "ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=1\n" in before
    assert f"COPY {HOOK['path']} node/\n" in before
    assert f"!{HOOK['path']}\n" in (ROOT / ".dockerignore").read_text()


@pytest.mark.parametrize("name", COMPILED)
def test_what_derives_from_a_compiled_class_is_compiled_with_it(name: str) -> None:
    """Compiled code takes no class for another's that it has not been shown."""
    module = importlib.import_module(name)
    importlib.import_module("nano.node")
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ != name:
            continue
        derived = [
            it for it in kind.__subclasses__() if it.__module__.startswith("nano")
        ]
        assert {it.__module__ for it in derived} <= set(COMPILED), derived


def test_what_is_imported_says_whether_it_is_compiled() -> None:
    module = importlib.import_module("nano.protocol.messages")
    assert compiled() is not str(module.__file__).endswith(".py")
