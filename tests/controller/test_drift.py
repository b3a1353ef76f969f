"""When a child is still what the operator said, and when it is not."""

from __future__ import annotations

import copy
from typing import cast

import pytest

from nano_operator.drift import Applied, has_drifted, sealed
from nano_operator.objects import Child, Kind, Object

from .worlds import inner

PLAIN: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "gate", "labels": {"a": "1"}},
    "spec": {
        "replicas": 2,
        "containers": [
            {
                "name": "node",
                "image": "i:1",
                "env": [{"name": "A", "value": "1"}, {"name": "B"}],
                "volumeMounts": [
                    {"name": "v", "mountPath": "/a"},
                    {"name": "v", "mountPath": "/b"},
                ],
            }
        ],
        "tolerations": [{"key": "x"}, {"key": "y"}],
    },
}
RENDERED = sealed(PLAIN)


def seen(*changes: tuple[str, object]) -> Child:
    """Return the child as it comes back, with values set at ``a.b.c``."""
    raw = copy.deepcopy(RENDERED)
    cast("Object", raw["metadata"])["uid"] = "u"
    for path, value in changes:
        parent, _, key = path.rpartition(".")
        where = cast("Object", inner(raw, parent) if parent else raw)
        where[key] = value
    return Child.parse(Kind.DEPLOYMENT, raw)


@pytest.mark.parametrize(
    "change",
    [
        ("status", {"replicas": 2}),
        ("metadata.resourceVersion", "7"),
        ("metadata.labels.foreign", "x"),
        ("spec.paused", False),
        ("spec.containers.0.terminationMessagePath", "/dev/log"),
        (
            "spec.containers.0.env",
            [{"name": "MINE"}, {"name": "B"}, {"name": "A", "value": "1"}],
        ),
    ],
)
def test_defaults_and_additions_of_others_are_no_drift(
    change: tuple[str, object],
) -> None:
    assert not has_drifted(RENDERED, seen(change), None)


@pytest.mark.parametrize(
    "change",
    [
        ("spec.replicas", 3),
        ("metadata.labels", {}),
        ("metadata.annotations", {}),
        ("spec.containers", []),
        ("spec.containers.0.image", "i:2"),
        ("spec.containers.0.env", [{"name": "A", "value": "1"}]),
        ("spec.containers.0.env.0.value", "2"),
        ("spec.containers.0.volumeMounts.1.name", "w"),
        ("spec.tolerations", [{"key": "x"}, {"key": "y"}, {"key": "z"}]),
        ("spec.tolerations", [{"key": "y"}, {"key": "x"}]),
        ("spec", {}),
    ],
)
def test_a_changed_or_missing_value_is_drift(change: tuple[str, object]) -> None:
    assert has_drifted(RENDERED, seen(change), None)


def test_a_field_that_is_no_longer_rendered_is_drift() -> None:
    shorter = copy.deepcopy(PLAIN)
    del cast("Object", shorter["spec"])["tolerations"]
    assert has_drifted(sealed(shorter), seen(), None)


def test_a_value_that_came_back_differently_is_no_drift_until_it_changes() -> None:
    back = seen(("spec.containers.0.image", "registry/i:1"))
    applied = Applied.of(RENDERED, back)
    assert has_drifted(RENDERED, back, None)
    assert not has_drifted(RENDERED, back, applied)
    later = seen(("spec.containers.0.image", "evil"))
    assert has_drifted(RENDERED, later, applied)


def test_what_is_known_of_one_object_says_nothing_about_its_successor() -> None:
    back = seen(("spec.containers.0.image", "registry/i:1"))
    applied = Applied.of(RENDERED, back)
    successor = seen(
        ("spec.containers.0.image", "registry/i:1"), ("metadata.uid", "another")
    )
    assert has_drifted(RENDERED, successor, applied)


def test_the_seal_depends_on_content_alone() -> None:
    other = {key: PLAIN[key] for key in reversed(PLAIN)}
    assert sealed(copy.deepcopy(other)) == RENDERED
