"""The tests of docs/testing.md pass as they stand there."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read_page() -> dict[str, Callable[[], Awaitable[None]]]:
    """Return what the page's blocks, read as one module, define as tests."""
    module = types.ModuleType("nano_testing_page")
    sys.modules[module.__name__] = module  # annotations are looked up there
    for block in BLOCK.findall(PAGE.read_text()):
        exec(compile(block, str(PAGE), "exec"), vars(module))
    return {name: it for name, it in vars(module).items() if name.startswith("test_")}


TESTS = read_page()


def test_the_page_has_tests() -> None:
    assert len(TESTS) == 9


@pytest.mark.parametrize("name", list(TESTS))
async def test_the_test_passes(name: str) -> None:
    await TESTS[name]()
