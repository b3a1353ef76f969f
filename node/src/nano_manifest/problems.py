"""What is wrong with a manifest, in the words of the manifest.

A problem is a place and a sentence.  The place is written as in the manifest
(``spec.gates.listeners[1].port``), never as in our types, and all problems that
can be told apart are reported together: a person mends a file once.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ManifestError", "Path", "Problem", "dotted"]

# Where in the manifest: keys and list positions from the top.
Path = tuple[str | int, ...]

Problem = tuple[Path, str]


def dotted(path: Path) -> str:
    """Write *path* as people do: ``spec.backends[0].env``.

    A key that is not a plain word stands in brackets, as Kubernetes writes it:
    ``metadata.labels[app.kubernetes.io/name]``.
    """
    text = ""
    for step in path:
        if isinstance(step, int) or not step.isidentifier():
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


class ManifestError(ValueError):
    """A manifest cannot be used.

    Attributes:
        problems: Pairs of a field (empty for the file as a whole) and a sentence.
        lines: For each problem its line in the file, 0 where it is not known.
        source: The file's name, empty where there is none.
    """

    def __init__(
        self,
        problems: Iterable[tuple[str, str]],
        *,
        lines: Iterable[int] = (),
        source: str = "",
    ) -> None:
        self.problems = tuple(problems)
        self.lines = tuple(lines) or (0,) * len(self.problems)
        self.source = source
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(
            ": ".join(filter(None, (self._place(line), field, problem)))
            for line, (field, problem) in zip(self.lines, self.problems, strict=True)
        )

    def _place(self, line: int) -> str:
        if not line:
            return self.source
        return f"{self.source}:{line}" if self.source else f"line {line}"
