"""A Kubernetes small enough to read: objects in a dictionary, no processes.

:class:`MemoryApi` keeps the promises of an API server that the operator relies on:
generations, UIDs, server-side apply with one manager, defaults and rewritten values,
optimistic deletes.  It is a model of Kubernetes, not of the operator.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import cast

from nano_operator.errors import (
    ConflictError,
    NotFoundError,
    RefusedError,
    TerminatingError,
)
from nano_operator.names import MANAGER
from nano_operator.objects import CLUSTERS, Child, Kind, Object, Ref, Resource

__all__ = ["MemoryApi", "Write", "cluster", "inner", "of_kind"]

NAMESPACE = "demo"


def cluster(name: str = "arena", /, **spec: object) -> Object:
    """Return a resource as a person would write it, with an image unless given."""
    return {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-of-{name}",
            "generation": 1,
        },
        "spec": {
            "image": "arena:1",
            "backends": [{"name": "room", "components": ["rooms:RoomService"]}],
            **spec,
        },
    }


def inner(value: object, path: str) -> object:
    """Return what stands at ``a.b.0.c`` in nested dictionaries and lists."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)]
        else:
            value = cast("Object", value)[step]
    return value


def of_kind(objects: list[Object], kind: str, name: str) -> Object:
    """Return the one object of that kind and name."""
    (found,) = [
        item
        for item in objects
        if item["kind"] == kind and inner(item, "metadata.name") == name
    ]
    return found


@dataclass(frozen=True, slots=True)
class Write:
    """One request that changed something, or wanted to."""

    verb: str
    what: str


@dataclass
class MemoryApi:
    """An API server in memory.

    Attributes:
        writes: Every request that writes, in order.
        refuse: What to answer to a write, by ``Kind name``, or ``Event`` for all.
        events: Type, reason and message of every event.
        terminating: Whether the namespace is being deleted.
    """

    writes: list[Write] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    terminating: bool = False

    def __post_init__(self) -> None:
        self._objects: dict[tuple[str, str], Object] = {}
        self._applied: dict[tuple[str, str], Object] = {}
        self._handed: dict[tuple[str, str], Object] = {}
        self._uids = itertools.count(1)
        self._versions = itertools.count(1)

    # what a test does from outside

    def put(self, resource: Resource, body: Object) -> None:
        """Store an object as somebody else made it."""
        self._objects[resource.plural, str(inner(body, "metadata.name"))] = body

    def see(self, kind: Kind, name: str) -> Object:
        """Return an object, to look at or to tamper with."""
        return self._objects[kind.resource.plural, name]

    def names(self, kind: Kind) -> list[str]:
        """Return which objects of a kind there are."""
        plural = kind.resource.plural
        return sorted(name for found, name in self._objects if found == plural)

    def status(self, name: str = "arena") -> Object:
        """Return the status of a cluster."""
        return cast("Object", self._objects[CLUSTERS.plural, name].get("status", {}))

    def edit(self, name: str = "arena", /, **spec: object) -> None:
        """Change a cluster as a person would, which makes a new generation."""
        stored = self._objects[CLUSTERS.plural, name]
        stored["spec"] = cast("Object", stored["spec"]) | spec
        metadata = cast("Object", stored["metadata"])
        metadata["generation"] = cast("int", metadata["generation"]) + 1

    def annotate(self, name: str = "arena", /, **annotations: str) -> None:
        """Annotate a cluster as a person would, which makes no new generation."""
        metadata = cast("Object", self._objects[CLUSTERS.plural, name]["metadata"])
        metadata["annotations"] = annotations

    def forget(self, name: str = "arena") -> None:
        """Remove a cluster."""
        del self._objects[CLUSTERS.plural, name]

    def drop(self, kind: Kind, name: str) -> None:
        """Remove an object behind the operator's back."""
        del self._objects[kind.resource.plural, name]

    def settle(self) -> None:
        """Let every Deployment finish: each pod that is wanted is there and ready."""
        for (plural, _), stored in self._objects.items():
            if plural == "deployments":
                wanted = cast("int", inner(stored, "spec.replicas"))
                counts = ("replicas", "updatedReplicas", "readyReplicas")
                stored["status"] = {
                    "observedGeneration": inner(stored, "metadata.generation"),
                    **dict.fromkeys((*counts, "availableReplicas"), wanted),
                }

    def children(self) -> dict[Ref, Child]:
        """Return everything but clusters."""
        parsed = [
            Child.parse(kind, copy.deepcopy(stored))
            for (plural, _), stored in self._objects.items()
            for kind in Kind
            if kind.resource.plural == plural
        ]
        return {child.ref: child for child in parsed}

    # what the operator asks

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = "", name: str = ""
    ) -> list[Object]:
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
        found = []
        for (plural, called), stored in self._objects.items():
            given = cast("Object", stored["metadata"]).get("labels", {})
            if (
                plural == resource.plural
                and (not name or name == called)
                and wanted.items() <= cast("Object", given).items()
            ):
                item = copy.deepcopy(stored)
                if resource is not CLUSTERS:  # as in a real list of built-in objects
                    del item["apiVersion"], item["kind"]
                found.append(item)
        return found

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self._objects.get((resource.plural, name)))

    def _admit(self, asked: str, resource: Resource, name: str) -> None:
        """Make nothing new in a namespace that is being deleted."""
        if self.terminating and (resource.plural, name) not in self._objects:
            message = "because it is being terminated"
            raise TerminatingError(403, "Forbidden", message, asked)

    async def create(self, resource: Resource, body: Object) -> Object:
        name = str(inner(body, "metadata.name"))
        what = f"{body['kind']} {name}"
        self._admit(f"create {what}", resource, name)
        if body["kind"] == "Event":
            if "Event" in self.refuse:
                raise RefusedError(403, "Forbidden", "no", "create event")
            told = (str(body["type"]), str(body["reason"]), str(body["message"]))
            self.events.append(told)
            return copy.deepcopy(body)
        self.writes.append(Write("create", what))
        if what in self.refuse:
            raise RefusedError(403, "Forbidden", self.refuse[what], f"create {what}")
        if (resource.plural, name) in self._objects:
            raise ConflictError(409, "AlreadyExists", "it exists", "create")
        self._store(resource, name, copy.deepcopy(body))
        return copy.deepcopy(self._objects[resource.plural, name])

    async def apply(
        self, resource: Resource, body: Object, manager: str = MANAGER
    ) -> Object:
        name = str(inner(body, "metadata.name"))
        what = f"{body['kind']} {name}"
        if manager != MANAGER:
            self.writes.append(Write("hand over", what))
            self._handed[resource.plural, name] = copy.deepcopy(body)
            stored = self._objects[resource.plural, name]
            stored["spec"] = cast("Object", stored["spec"]) | cast(
                "Object", body["spec"]
            )
            return copy.deepcopy(stored)
        self._admit(f"apply {what}", resource, name)
        self.writes.append(Write("apply", what))
        if what in self.refuse:
            raise RefusedError(422, "Invalid", self.refuse[what], f"apply {what}")
        key = (resource.plural, name)
        old = self._objects.get(key, {})
        asked = cast("Object", body["metadata"]).get("resourceVersion")
        if asked and asked != inner(old, "metadata.resourceVersion"):
            raise ConflictError(409, "Conflict", "it has changed", f"apply {what}")
        last = self._applied.get(key, {})
        new = cast("Object", _applied(old, last, _normal(copy.deepcopy(body))))
        if resource.plural == "deployments":  # what nobody says has a default
            handed = cast("Object", self._handed.get(key, {}).get("spec", {}))
            new["spec"] = {"replicas": 1, **handed, **cast("Object", new["spec"])}
        self._applied[key] = copy.deepcopy(body)
        self._store(resource, name, new)
        return copy.deepcopy(self._objects[key])

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        name = str(inner(body, "metadata.name"))
        self.writes.append(Write("status", name))
        stored = self._objects[resource.plural, name]
        stored["status"] = copy.deepcopy(body["status"])
        return copy.deepcopy(stored)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str
    ) -> None:
        self.writes.append(Write("delete", f"{resource.plural} {name}"))
        stored = self._objects.get((resource.plural, name))
        if stored is None:
            raise NotFoundError(404, "NotFound", "gone", "delete")
        if inner(stored, "metadata.uid") != uid:
            raise ConflictError(409, "Conflict", "another UID", "delete")
        del self._objects[resource.plural, name]
        self._applied.pop((resource.plural, name), None)
        self._handed.pop((resource.plural, name), None)

    def _store(self, resource: Resource, name: str, new: Object) -> None:
        old = self._objects.get((resource.plural, name))
        head = cast("Object", new["metadata"])
        head["resourceVersion"] = str(next(self._versions))
        if old is None:
            head["uid"] = f"uid-{next(self._uids)}"
            head["generation"] = 1
        else:
            was = cast("Object", old["metadata"])
            changed = old.get("spec") != new.get("spec")
            head["uid"] = was["uid"]
            head["generation"] = cast("int", was["generation"]) + changed
        self._objects[resource.plural, name] = new


def _applied(old: object, last: object, new: object) -> object:
    """Merge *new* into *old*, without what only *last* had said."""
    if isinstance(old, dict) and isinstance(new, dict):
        before = last if isinstance(last, dict) else {}
        kept = {key: old[key] for key in old if key not in before or key in new}
        for key, value in new.items():
            kept[key] = _applied(old.get(key), before.get(key), value)
        return kept
    if isinstance(old, list) and isinstance(new, list):
        return _applied_items(old, last if isinstance(last, list) else [], new)
    return new


def _applied_items(old: list[object], last: list[object], new: list[object]) -> object:
    olds, lasts, news = (_by_name(items) for items in (old, last, new))
    if olds is None or lasts is None or news is None:
        return new
    merged = {
        name: _applied(olds.get(name), lasts.get(name), item)
        for name, item in news.items()
    }
    foreign = {
        name: item
        for name, item in olds.items()
        if name not in news and name not in lasts
    }
    return [*merged.values(), *foreign.values()]


def _by_name(items: list[object]) -> dict[object, object] | None:
    found: dict[object, object] = {
        item.get("mountPath", item.get("name")): item
        for item in items
        if isinstance(item, dict)
    }
    return found if len(found) == len(items) and None not in found else None


def _normal(value: object) -> object:
    """Write some values as an API server writes them, and add a default."""
    if isinstance(value, dict):
        written = {key: _normal(item) for key, item in value.items()}
        if "containerPort" in written or "image" in written:
            written["x-defaulted"] = True
        return written
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return "1Gi" if value == "1024Mi" else value
