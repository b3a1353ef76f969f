"""The list of what is dropped is what the code drops, in both directions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from nano.metrics.drops import DROPS

SOURCE = Path(__file__).parents[2] / "node" / "src" / "nano"
ANY = "*"

Key = tuple[str, str]


def written(node: ast.expr) -> list[str]:
    """Return what *node* can be, as far as it stands there; else :data:`ANY`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [*written(node.body), *written(node.orelse)]
    return [ANY]


def dropped() -> Iterator[Key]:
    """Yield the stage and reason of each place that counts something as dropped."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.AugAssign):
                continue
            target = node.target
            if not isinstance(target, ast.Subscript) or "dropped" not in ast.unparse(
                target.value
            ):
                continue
            assert isinstance(target.slice, ast.Tuple), ast.unparse(target)
            stage, reason = target.slice.elts
            for one in written(stage):
                for other in written(reason):
                    yield one, other


def test_every_reason_is_explained_and_every_explanation_has_its_reason() -> None:
    counted = set(dropped())
    named = {key for key in counted if ANY not in key}
    assert len(named) > 50
    assert named <= DROPS.keys(), "explain it in nano/metrics/drops.py"
    # the others depend on what has happened
    patterns = counted - named
    assert patterns == {
        ("push", ANY),  # "closed" or "link-full"
        (ANY, "go-failed"),  # "answer" or "push"
        ("forward", ANY),
        ("go-notify", ANY),
        ("notify", ANY),
    }
    for stage, reason in DROPS.keys() - named:
        assert {(stage, ANY), (ANY, reason)} & patterns, (
            f"nobody drops {stage}, {reason}"
        )


def test_the_list_is_in_order_and_in_sentences() -> None:
    assert list(DROPS) == sorted(DROPS)
    for text in DROPS.values():
        assert text[0].isupper()
        assert text.endswith(".")
