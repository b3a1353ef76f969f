"""The ConfigMaps that stand beside a manifest, with the components of its backends.

In Kubernetes they are objects of their own, which the operator reads; on a laptop
they are further documents of the manifest's file.  So they are read here as strictly
as the API server would: a name, and texts by the names of files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeGuard

from nano_manifest.model import Backend
from nano_manifest.problems import Path, Problem

__all__ = ["Sources", "is_config_map", "lacking", "read_config_map"]

Sources = Mapping[str, Mapping[str, str]]
"""ConfigMap → file → text."""

_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
"""What the API server allows: the name of a file, and never that of a folder."""


def is_config_map(data: object) -> TypeGuard[Mapping[str, object]]:
    """Tell whether a document is a ConfigMap, good or bad."""
    return (
        isinstance(data, Mapping)
        and data.get("apiVersion") == "v1"
        and data.get("kind") == "ConfigMap"
    )


def read_config_map(
    data: Mapping[str, object],
) -> tuple[str, dict[str, str], list[Problem]]:
    """Return a ConfigMap's name, its files, and what is wrong with it."""
    problems: list[Problem] = []
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not name:
        problems.append((("metadata", "name"), "is required. Name of the ConfigMap."))
    files: dict[str, str] = {}
    given = data.get("data") or {}
    if not isinstance(given, Mapping):
        problems.append((("data",), "must be an object, texts by the names of files"))
        given = {}
    for key, value in given.items():
        at: Path = ("data", str(key))
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key in (".", ".."):
            text = "is no name of a file; expected letters, digits, '-', '_' and '.'"
            problems.append((at, text))
        elif not isinstance(value, str):
            problems.append((at, "must be a text; write it as a block, behind '|'"))
        else:
            files[key] = value
    return str(name), files, problems


def lacking(backend: Backend, sources: Sources) -> str | None:
    """Say what the ConfigMap of *backend* lacks; None if all is there, or none is."""
    if backend.source is None:
        return None
    name = backend.source.config_map
    if name not in sources:
        return f"there is no ConfigMap {name}"
    modules = dict.fromkeys(it.partition(":")[0] for it in backend.components)
    keys = [f"{module}.py" for module in modules]
    absent = [key for key in keys if key not in sources[name]]
    return f"ConfigMap {name} has no key {', '.join(absent)}" if absent else None
