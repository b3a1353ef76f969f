"""The CustomResourceDefinition, made from the manifest's types.

Kubernetes wants a *structural* schema: every level says its type, nothing is
referred to, nothing is one of several things, and an object with known fields
forbids no others (the API server drops or refuses them itself).  The types are
walked as :mod:`msgspec.inspect` describes them; msgspec's own JSON Schema has
references and ``anyOf`` and is of no use here.

Defaults stand in the schema where they are plain values, and for the gates as a
whole, because the scale subresource reads ``spec.gates.replicas`` also where
nobody wrote it.
"""

from __future__ import annotations

import copy
from typing import Final

import msgspec
from msgspec import inspect

from nano_manifest.model import GROUP, KIND, PLURAL, VERSION, NanoCluster, Spec
from nano_manifest.parse import plain
from nano_manifest.rules import CEL
from nano_manifest.status import Status

__all__ = ["crd"]

_Schema = dict[str, object]

# Objects that get an empty default, so that the defaults below them apply.
_FILLED: Final = frozenset({"spec.gates", "spec.gates.service"})

_COLUMNS: Final = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Gates", "integer", ".status.gates.readyReplicas", 0),
    ("Desired", "integer", ".spec.gates.replicas", 0),
    ("Clients", "integer", ".status.gates.connections", 0),
    ("Step", "string", ".status.step", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 1),
)


def crd() -> dict[str, object]:
    """Return the CustomResourceDefinition; the same one each time."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["nano"],
                "categories": ["nano"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def _version() -> _Schema:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path}
            | ({"priority": priority} if priority else {})
            for name, kind, path, priority in _COLUMNS
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.gates.replicas",
                "statusReplicasPath": ".status.gates.replicas",
                "labelSelectorPath": ".status.gates.selector",
            },
        },
        "schema": {"openAPIV3Schema": _root()},
    }


def _root() -> _Schema:
    """The whole object; what Kubernetes itself checks is only named."""
    return {
        "type": "object",
        "description": _sentence(NanoCluster),
        "required": ["metadata"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _schema(inspect.type_info(Spec), "spec") | {"default": {}},
            "status": _schema(inspect.type_info(Status), "status"),
        },
        "x-kubernetes-validations": _rules(NanoCluster),
    }


def _sentence(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _rules(cls: type[msgspec.Struct]) -> list[_Schema]:
    rules: list[_Schema] = []
    for rule in CEL.get(cls, ()):
        place = {"fieldPath": rule.field} if rule.field else {}
        rules.append({"rule": rule.rule, "message": rule.message, **place})
    return rules


def _schema(kind: inspect.Type, path: str) -> _Schema:
    """Return the schema of *kind*, which stands at *path*."""
    match kind:
        case inspect.Metadata():
            return _schema(kind.type, path) | _remarks(kind)
        case inspect.UnionType():  # "or nothing" is said by being optional
            some = [k for k in kind.types if not isinstance(k, inspect.NoneType)]
            return _schema(some[0], path)
        case inspect.StructType():
            return _object(kind, path)
        case inspect.ListType():
            items = _schema(kind.item_type, f"{path}[]")
            return {"type": "array", "items": items} | _bounds(
                kind, "minItems", "maxItems"
            )
        case inspect.DictType():
            return _map(kind, path)
        case inspect.StrType():
            pattern = {"pattern": kind.pattern} if kind.pattern else {}
            bounds = _bounds(kind, "minLength", "maxLength")
            return {"type": "string"} | bounds | pattern
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.LiteralType():
            return {"type": "string", "enum": list(kind.values)}
    raise TypeError(f"{path} has a type that no schema is known for: {kind}")


def _remarks(kind: inspect.Metadata) -> _Schema:
    """What stands beside a type: its sentence, and how a list is merged."""
    remarks: _Schema = copy.deepcopy(kind.extra_json_schema or {})
    extra = kind.extra or {}
    if "key" in extra:
        remarks["x-kubernetes-list-type"] = "map"
        remarks["x-kubernetes-list-map-keys"] = [extra["key"]]
    if "set" in extra:
        remarks["x-kubernetes-list-type"] = "set"
    return remarks


def _bounds(
    kind: inspect.StrType | inspect.ListType | inspect.DictType, least: str, most: str
) -> _Schema:
    given = {least: kind.min_length, most: kind.max_length}
    return {name: value for name, value in given.items() if value is not None}


def _number(kind: inspect.IntType | inspect.FloatType) -> _Schema:
    integer = isinstance(kind, inspect.IntType)
    schema: _Schema = {"type": "integer" if integer else "number"}
    given = {"minimum": kind.ge, "maximum": kind.le}
    schema |= {name: value for name, value in given.items() if value is not None}
    if integer:
        schema["format"] = "int64" if kind.le is None else "int32"
    elif kind.ge is not None and kind.ge != int(kind.ge):
        # Kubernetes cuts a minimum's fraction off where the value is written as an
        # integer: 0 would pass for "at least 0.1".
        rule = {"rule": f"self >= {kind.ge}", "message": f"must be at least {kind.ge}"}
        schema["x-kubernetes-validations"] = [rule]
    return schema


def _map(kind: inspect.DictType, path: str) -> _Schema:
    value = kind.value_type
    if isinstance(value, inspect.CustomType):  # an object of Kubernetes' own
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    values = _schema(value, f"{path}{{}}")
    bounds = _bounds(kind, "minProperties", "maxProperties")
    return {"type": "object", "additionalProperties": values} | bounds


def _object(kind: inspect.StructType, path: str) -> _Schema:
    properties = {
        field.encode_name: _property(field, f"{path}.{field.encode_name}")
        for field in kind.fields
    }
    schema: _Schema = {
        "type": "object",
        "description": _sentence(kind.cls),
        "properties": dict(sorted(properties.items())),
    }
    required = [field.encode_name for field in kind.fields if field.required]
    if required:
        schema["required"] = sorted(required)
    rules = _rules(kind.cls)
    if rules:
        schema["x-kubernetes-validations"] = rules
    return schema


def _property(field: inspect.Field, path: str) -> _Schema:
    schema = _schema(field.type, path)
    if path.startswith("status"):
        return schema  # a default would claim what nobody has looked at
    if path in _FILLED:
        return schema | {"default": {}}
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    worth_saying = isinstance(default, (int, float, str, list))
    if worth_saying and default is not False and default not in ("", []):
        schema["default"] = plain(default)
    return schema
