"""Components by name, and what a person is told who got a name wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nano import NodeInfo
from nano.errors import UsageError
from nano.runtime.loading import load_components

NODE = NodeInfo("127.0.0.1:1", "backend", "rooms", "default/demo")

MODULE = """
from nano import Component, handler

class Room(Component):
    @handler
    def join(self, session, payload):
        return 1

class Picky(Component):
    def __init__(self, size):
        self.size = size

class Other: ...

number = 3
"""


@pytest.fixture
def app_dir(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "nano_test_rooms.py").write_text(MODULE)
    (tmp_path / "nano_test_broken.py").write_text("import no_such_module\n")
    (tmp_path / "nano_test_typo.py").write_text("class Room(:\n")
    (tmp_path / "nano_test_pkg").mkdir()
    (tmp_path / "nano_test_pkg" / "rooms.py").write_text(MODULE)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("nano_test_")]:
        del sys.modules[name]


def test_components_are_made_in_order_and_know_their_node(app_dir: Path) -> None:
    names = ["nano_test_rooms:Room", "nano_test_pkg.rooms:Room"]
    first, second = load_components(names, NODE, str(app_dir))
    assert [type(first).__module__, type(second).__module__] == [
        "nano_test_rooms",
        "nano_test_pkg.rooms",
    ]
    assert first.node is NODE


def test_the_folder_of_the_application_is_searched_first_and_entered_once(
    app_dir: Path,
) -> None:
    sys.path.append(str(app_dir))
    for _ in range(2):
        load_components(["nano_test_rooms:Room"], NODE, str(app_dir))
    assert sys.path[0] == str(app_dir)
    assert sys.path[1] != str(app_dir)


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        (
            "nano_test_missing:Room",
            "module nano_test_missing cannot be imported (ModuleNotFoundError",
            ModuleNotFoundError,
        ),
        ("nano_test_broken:Room", "No module named 'no_such_module'", ImportError),
        ("nano_test_typo:Room", "(SyntaxError: ", SyntaxError),
        ("nano_test_rooms:Hall", "has no class Hall that derives from", None),
        ("nano_test_rooms:Other", "has no class Other that derives from", None),
        ("nano_test_rooms:number", "has no class number that derives from", None),
        ("nano_test_rooms", "has no class  that derives from", None),
        (
            "nano_test_rooms:Picky",
            "component nano_test_rooms:Picky cannot be made (TypeError: ",
            TypeError,
        ),
    ],
)
def test_a_wrong_name_is_refused_with_what_is_wrong(
    app_dir: Path, name: str, text: str, cause: type[Exception] | None
) -> None:
    with pytest.raises(UsageError) as refused:
        load_components([name], NODE, str(app_dir))
    assert f"component {name}" in str(refused.value)
    assert text in str(refused.value)
    assert isinstance(refused.value.__cause__, cause or type(None))
    if cause is ModuleNotFoundError:
        assert str(app_dir) in str(refused.value)
