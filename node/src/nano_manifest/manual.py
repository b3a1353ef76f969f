"""The reference of the manifest, made from its types.

``docs/manifest.md`` is what :func:`reference` returns; a test compares the two, so
the page cannot fall behind.  To write it anew::

    python -c 'import nano_manifest; print(nano_manifest.reference(), end="")'
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import inspect

from nano_manifest.model import (
    Autoscaling,
    Backend,
    ClusterTls,
    EnvVar,
    Gates,
    GateService,
    IssuedTls,
    Listener,
    LocalReference,
    Master,
    Metadata,
    NanoCluster,
    NetworkPolicy,
    RoleFields,
    Routing,
    Source,
    Spec,
    Template,
    Tls,
)
from nano_manifest.rules import CEL
from nano_manifest.settings import SETTINGS

__all__ = ["reference"]

_HEAD: Final = """\
# The manifest

One file describes a cluster: `nanoctl up` runs it as processes on a laptop, and
`kubectl apply` runs it in Kubernetes. `nanoctl check FILE` tries it without running
anything; the API server applies the same rules.

The smallest one:

```yaml
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata:
  name: chat
spec:
  backends:
  - name: room
    components: ["chat.rooms:RoomService"]
```

It has a master, two gates with a WebSocket listener on port 3250, and one backend.
A key that is not in these tables is refused. *Object* without a table below is an
object of Kubernetes' own, handed on unread.
"""

_SETTINGS_HEAD: Final = """\
Each is a field of `spec.settings`, a flag of `nanoctl node` and an environment
variable. Where several are given, the flag wins, then the variable, then the
manifest.
"""

# In the order of the page; what the three roles share has a table of its own.
_SECTIONS: Final[tuple[tuple[str, type[msgspec.Struct]], ...]] = (
    ("The whole", NanoCluster),
    ("metadata", Metadata),
    ("spec", Spec),
    ("spec.clusterTls", ClusterTls),
    ("spec.clusterTls.issued", IssuedTls),
    ("spec.networkPolicy", NetworkPolicy),
    ("spec.master", Master),
    ("spec.gates", Gates),
    ("spec.gates.listeners[]", Listener),
    ("spec.gates.listeners[].tls", Tls),
    ("spec.gates.service", GateService),
    ("spec.backends[]", Backend),
    ("spec.backends[].source", Source),
    ("spec.routing[]", Routing),
    ("autoscaling, of gates and backends[]", Autoscaling),
    ("Every role: master, gates, backends[]", RoleFields),
    ("env[]", EnvVar),
    ("template", Template),
    ("template.imagePullSecrets[]", LocalReference),
)


def reference() -> str:
    """Return the reference as Markdown; the same text each time."""
    parts = [_HEAD]
    for title, cls in _SECTIONS:
        parts.append("\n".join(_section(title, cls)))
    parts.append("\n".join(_settings()))
    return "\n".join(parts)


def _section(title: str, cls: type[msgspec.Struct]) -> Iterator[str]:
    yield f"## {title if ' ' in title else f'`{title}`'}\n"
    yield f"{(cls.__doc__ or '').strip().splitlines()[0]}"
    fields = _fields(cls)
    if fields:
        yield "\n| field | type | default | meaning |"
        yield "|---|---|---|---|"
        for field in fields:
            yield _row(field)
    if issubclass(cls, RoleFields) and cls is not RoleFields:
        also = "Also" if fields else "It has"
        yield f"\n{also} the fields of every role, below."
    messages = dict.fromkeys(rule.message for rule in CEL.get(cls, ()))
    if messages:
        yield "\nRefused by the API server with:\n"
        yield from (f"- *{message}*" for message in messages)
    yield ""


def _fields(cls: type[msgspec.Struct]) -> list[inspect.Field]:
    """The fields that *cls* itself adds to every role's."""
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    derived = issubclass(cls, RoleFields) and cls is not RoleFields
    shared = RoleFields.__struct_fields__ if derived else ()
    return [field for field in described.fields if field.name not in shared]


def _row(field: inspect.Field) -> str:
    kind = field.type
    sentence = ""
    if isinstance(kind, inspect.Metadata):
        sentence = (kind.extra_json_schema or {}).get("description", "")
    required = field.required or field.encode_name in ("apiVersion", "kind")
    default = "**required**" if required else _default(field)
    cells = (f"`{field.encode_name}`", _type(kind), default, sentence)
    return f"| {' | '.join(cells)} |"


def _default(field: inspect.Field) -> str:
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value in ("", None) or value is False or value == [] or value == {}:
        return ""
    if isinstance(value, msgspec.Struct):
        return ""  # the defaults of its own fields
    if isinstance(value, list):  # only the listeners have such a default
        first = value[0]
        return f"`{first.name}`: {first.transport} on {first.port}"
    return f"`{value}`"


def _type(kind: inspect.Type, says: str = "") -> str:
    """Return *kind* in words, with its bounds."""
    match kind:
        case inspect.Metadata():
            return _type(kind.type, (kind.extra or {}).get("says", says))
        case inspect.UnionType():
            some = [k for k in kind.types if not isinstance(k, inspect.NoneType)]
            return _type(some[0])
        case inspect.IntType() | inspect.FloatType():
            whole = "integer" if isinstance(kind, inspect.IntType) else "number"
            return f"{whole}{_range(kind.ge, kind.le)}"
        case inspect.StrType():
            most = f", at most {kind.max_length}" if kind.max_length else ""
            return f"text{f' of {says}' if says else ''}{most}"
        case inspect.BoolType():
            return "`true`, `false`"
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case inspect.ListType():
            size = _range(kind.min_length, kind.max_length)
            return f"list{size} of {_type(kind.item_type)}"
        case inspect.DictType() if not isinstance(kind.value_type, inspect.CustomType):
            return "map of texts"
    return "object"


def _range(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f" ≥ {least}"
    return f" {least or 0}…{most}"


def _settings() -> Iterator[str]:
    yield "## `spec.settings`\n"
    yield _SETTINGS_HEAD
    yield "| field | flag | variable | default | range | meaning |"
    yield "|---|---|---|---|---|---|"
    for row in SETTINGS:
        scope = (
            ", ".join(f"`{choice}`" for choice in row.choices)
            or f"{row.minimum}…{row.maximum} {row.unit}"
        )
        default = str(row.default).lower()  # as YAML has it
        yield (
            f"| `{row.field}` | `{row.flag}` | `{row.env}` | `{default}` "
            f"| {scope} | {row.sentence} |"
        )
    yield ""
