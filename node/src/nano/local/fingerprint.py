"""What a node runs, as a number: equal numbers mean that a restart changes nothing.

In it are the parts of the manifest that a node of its kind reads, and the source of
its components: their modules, and what those import from the same folder, to any depth.
What else a component reads (data, installed packages, what is imported by a computed
name) is not seen; ``nanoctl reload --all`` is for that.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from nano.local.plan import ALL
from nano_manifest import NanoCluster
from nano_manifest.parse import plain

__all__ = ["fingerprint", "sources"]


def fingerprint(cluster: NanoCluster, kind: str, app_dir: Path) -> str:
    """Return the number of nodes of one kind, as hexadecimal digits.

    Args:
        cluster: The manifest.
        kind: ``master``, ``gate``, the name of a backend, or ``all`` of them.
        app_dir: Where the components are.
    """
    spec = cluster.spec
    if kind == ALL:
        names = ["gate", *(item.name for item in spec.backends)]
        parts = [fingerprint(cluster, name, app_dir) for name in names]
        return hashlib.sha256("".join([*names, *parts]).encode()).hexdigest()
    reads: dict[str, object] = {"settings": plain(spec.settings)}
    if spec.cluster_tls is not None:
        reads["clusterTls"] = plain(spec.cluster_tls)
    components: list[str] = []
    if kind == "master":
        fields = spec.master.env
    elif kind == "gate":
        fields, components = spec.gates.env, spec.gates.components
        reads["listeners"] = [plain(item) for item in spec.gates.listeners]
    else:
        backend = next(item for item in spec.backends if item.name == kind)
        fields, components = backend.env, backend.components
    reads["env"] = [plain(variable) for variable in fields]
    reads["components"] = components
    digest = hashlib.sha256(json.dumps(reads, sort_keys=True).encode())
    modules = [name.partition(":")[0] for name in components]
    for path, source in sorted(sources(modules, app_dir).items()):
        digest.update(f"\n{path}\n{len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def sources(modules: Iterable[str], app_dir: Path) -> dict[str, bytes]:
    """Return the files in *app_dir* that importing *modules* reads, by their path."""
    found: dict[str, bytes] = {}
    waiting = list(modules)
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        for path, package in _files(name, app_dir):
            key = str(path.relative_to(app_dir))
            if key in found:
                continue
            try:
                found[key] = path.read_bytes()
            except OSError:
                continue
            new = set(_imports(found[key], package)) - seen
            seen |= new
            waiting += new
    return found


def _files(name: str, app_dir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that importing *name* reads, with the package that each is in."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = app_dir.joinpath(*parts[:length])
        yield path / "__init__.py", ".".join(parts[:length])
    yield path.with_name(path.name + ".py"), ".".join(parts[:-1])


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield the names of all modules that *source* may import."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # the node says so when it starts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join(above) if node.level else ""
            base = ".".join(filter(None, (start, node.module)))
            if base:
                yield base
            yield from (f"{base}.{it.name}" if base else it.name for it in node.names)
