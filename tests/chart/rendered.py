"""A view of what Helm rendered, in which a test finds an object or a field by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

__all__ = ["Chart", "Object", "Rights", "at", "rights"]

Object = dict[str, object]
Rights = dict[tuple[str, str], frozenset[str]]
"""Verbs by API group and resource, as ``nano_operator.kube.CALLS`` has them."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Every object of one rendering."""

    objects: Sequence[Object]

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind, in their order."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Object:
        """Return the only object of a kind."""
        (found,) = self.all(kind)
        return found

    def named(self, kind: str, name: str) -> Object:
        """Return the object of that kind and name."""
        (found,) = [
            each for each in self.all(kind) if at(each, "metadata.name") == name
        ]
        return found

    def container(self) -> Object:
        """Return the operator's container."""
        return cast(
            Object, at(self.one("Deployment"), "spec.template.spec.containers.0")
        )

    def env(self) -> dict[str, object]:
        """Return the container's environment."""
        entries = cast(list[Object], self.container()["env"])
        return {str(entry["name"]): entry["value"] for entry in entries}

    def kinds(self) -> list[str]:
        """Return the kinds that there are, each as often as it is there."""
        return sorted(str(each["kind"]) for each in self.objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)


def at(value: object, path: str) -> object:
    """Follow a path like ``spec.containers.0.name``; what is absent is ``None``."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def rights(*roles: Object) -> Rights:
    """Add up the rules of *roles*."""
    found: Rights = {}
    for role in roles:
        for rule in cast(list[dict[str, list[str]]], role["rules"]):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    verbs = found.get((group, resource), frozenset())
                    found[group, resource] = verbs | frozenset(rule["verbs"])
    return found
