"""Whether a child still is what the operator said it should be.

An API server answers with more than it was told: defaults, its own bookkeeping,
fields of other managers.  It also writes some values differently ("1024Mi" becomes
"1Gi").  So a child is judged only by the fields that the operator renders, and
equal means: the value that was rendered, or the value that the API server made of
exactly this rendering when it was applied (:class:`Applied`).

Server-side apply lets others add what the operator does not mention, such as one
more environment variable; that is no drift.  Changing or removing what it does
mention is.  Pure; :mod:`nano_operator.plan` asks, nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from nano_operator.names import INTENT
from nano_operator.objects import Child, Object, digest

__all__ = ["Applied", "has_drifted", "sealed", "with_replicas"]

_KEYS: Final = ("uid", "mountPath", "name", "topologyKey")
"""What tells the items of a list apart, tried in this order; merge keys of the API."""

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Applied:
    """What came back when a rendering was applied.

    Attributes:
        uid: Of the object; another one with the same name is another object.
        intent: Digest of what was applied.
        result: Digest of the applied fields as the API server then had them.
    """

    uid: str
    intent: str
    result: str

    @classmethod
    def of(cls, rendered: Object, child: Child) -> Applied:
        """Remember that *rendered* was applied and *child* came back."""
        return cls(
            uid=child.meta.uid,
            intent=_intent(rendered),
            result=digest(_seen(rendered, child.raw)),
        )


def sealed(rendered: Object) -> Object:
    """Return *rendered* with the digest of itself as an annotation.

    Without it, a field that is no longer rendered would go unnoticed: all that is
    rendered would still be there.
    """
    metadata = cast("Object", rendered["metadata"])
    annotations = cast("Object", metadata.get("annotations", {}))
    marked = annotations | {INTENT: digest(rendered)}
    return rendered | {"metadata": metadata | {"annotations": marked}}


def with_replicas(rendered: Object, replicas: int) -> Object:
    """Return a sealed Deployment with another number of pods, sealed anew."""
    metadata = cast("Object", rendered["metadata"])
    annotations = cast("Object", metadata["annotations"])
    bare = {key: value for key, value in annotations.items() if key != INTENT}
    spec = cast("Object", rendered["spec"]) | {"replicas": replicas}
    changed = {"metadata": metadata | {"annotations": bare}, "spec": spec}
    return sealed(rendered | changed)


def has_drifted(rendered: Object, child: Child, applied: Applied | None) -> bool:
    """Tell whether *rendered*, which is sealed, must be applied again."""
    seen = _seen(rendered, child.raw)
    if seen == rendered:
        return False
    return applied is None or applied != Applied(
        uid=child.meta.uid, intent=_intent(rendered), result=digest(seen)
    )


def _intent(rendered: Object) -> str:
    metadata = cast("Object", rendered["metadata"])
    return str(cast("Object", metadata["annotations"])[INTENT])


def _seen(rendered: object, observed: object) -> object:
    """Return the part of *observed* that *rendered* speaks of."""
    if isinstance(rendered, dict) and isinstance(observed, dict):
        return {
            key: _seen(value, observed[key])
            for key, value in rendered.items()
            if key in observed
        }
    if isinstance(rendered, list) and isinstance(observed, list):
        return _seen_items(rendered, observed)
    return observed


def _seen_items(rendered: list[object], observed: list[object]) -> list[object]:
    key = _key_of(rendered)
    if key is None:  # the API server treats such a list as one value
        return observed
    found = {_value(item, key): item for item in observed}
    return [
        _seen(item, found[_value(item, key)])
        for item in rendered
        if _value(item, key) in found
    ]


def _key_of(items: list[object]) -> str | None:
    for key in _KEYS:
        values = [_value(item, key) for item in items]
        if values and _ABSENT not in values and len(set(values)) == len(values):
            return key
    return None


def _value(item: object, key: str) -> object:
    return item.get(key, _ABSENT) if isinstance(item, dict) else _ABSENT
