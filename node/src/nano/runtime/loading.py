"""Finding the components that a manifest names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from nano.errors import UsageError
from nano.runtime.component import Component
from nano.runtime.info import NodeInfo

__all__ = ["load_components", "load_function"]


def load_components(
    names: Iterable[str], node: NodeInfo, app_dir: str
) -> list[Component]:
    """Import and make the components called *names*, ``module.path:ClassName``.

    Args:
        names: As the manifest has them.
        node: Where they run; they have it as their ``node``.
        app_dir: Searched for modules before anything else.

    Raises:
        UsageError: A module cannot be imported, has no such component, or the
            component cannot be made.  What went wrong inside is the error's cause.
    """
    folder = _search_first(app_dir)
    components = []
    for name in names:
        component = _make(name, _load_class(name, folder))
        component.node = node
        components.append(component)
    return components


def load_function(name: str, app_dir: str) -> Callable[..., Any]:
    """Import the function called *name*, ``module.path:function``.

    Args:
        name: As the manifest has it.
        app_dir: Searched for modules before anything else.

    Raises:
        UsageError: Its module cannot be imported, or has no such function.
    """
    folder = _search_first(app_dir)
    module_name, _, function_name = name.partition(":")
    module = _import(f"function {name}", module_name, folder)
    found = getattr(module, function_name, None)
    if not callable(found) or isinstance(found, type):
        message = f"function {name}: {module_name} has no function {function_name}"
        raise UsageError(message)
    return found  # type: ignore[no-any-return]


def _search_first(app_dir: str) -> str:
    """Have modules be looked for in *app_dir* first; return it in full."""
    folder = str(Path(app_dir).resolve())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    return folder


def _import(what: str, module_name: str, folder: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        message = (
            f"{what}: module {module_name} cannot be imported "
            f"({type(error).__name__}: {error}); modules are looked for in {folder}"
        )
        raise UsageError(message) from error


def _make(name: str, found: type[Component]) -> Component:
    try:
        return found()
    except Exception as error:
        message = (
            f"component {name} cannot be made ({type(error).__name__}: {error}); "
            "it is called without arguments"
        )
        raise UsageError(message) from error


def _load_class(name: str, folder: str) -> type[Component]:
    module_name, _, class_name = name.partition(":")
    module = _import(f"component {name}", module_name, folder)
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not issubclass(found, Component):
        message = (
            f"component {name}: {module_name} has no class {class_name} "
            "that derives from nano.Component"
        )
        raise UsageError(message)
    return found
