"""Runs a node that counts nothing: what its metrics cost is the difference.

``python bench/uncounted.py …/nanoctl node …`` is ``nanoctl node …``, but as modules of
:mod:`nano` are imported, their statements that count are left out: what adds to a
metric, and what is called on one for nothing but that.  Nor is any message timed.  The
metrics are still there to be scraped, and stay at zero.
"""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

__all__ = ["Silencer", "main"]

COUNTING: Final = ("nano.runtime.", "nano.transports.", "nano.cluster.")
"""Packages through which messages go."""

COUNTS: Final = {"_counts", "_metrics", "_traffic", "counts", "dropped", "metrics"}
"""How metrics are called there."""


class Silencer(ast.NodeTransformer):
    """Takes the statements that count out of a module.

    Attributes:
        taken: How many there were.
    """

    def __init__(self) -> None:
        self.taken = 0

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        """Take out ``counts.requests += 1``."""
        return self._silenced(node) if _is_of_counts(node.target) else node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """Take out ``counts.received(…)``, whose value nobody wants."""
        called = node.value.func if isinstance(node.value, ast.Call) else None
        if isinstance(called, ast.Attribute) and _is_of_counts(called.value):
            return self._silenced(node)
        return node

    def _silenced(self, node: ast.stmt) -> ast.stmt:
        self.taken += 1
        return ast.copy_location(ast.Pass(), node)


def _is_of_counts(node: ast.expr) -> bool:
    """Whether *node* is, or belongs to, something that is called like a metric."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr in COUNTS:
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id in COUNTS


class _Loader(SourceFileLoader):
    """Compiles without what counts, and keeps away from everybody's bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        changed = ast.fix_missing_locations(Silencer().visit(tree))
        code: CodeType = compile(changed, path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    """Has our loader load the modules of :data:`COUNTING`."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if not fullname.startswith(COUNTING):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def main(command: list[str]) -> None:
    """Run *command*, a Python program and its arguments, without counting."""
    sys.meta_path.insert(0, _Finder())
    from nano.runtime.sampling import Sampler

    def idle(sampler: Sampler, _: float) -> None:
        """Time nothing."""

    setattr(Sampler, "tick", idle)  # noqa: B010  # a method, to mypy
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    del sys.path[0]  # this folder: its modules are none of the node's
    main(sys.argv[1:])
