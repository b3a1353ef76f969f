"""Does an object have the shape that the types demand?

The check follows the types as :mod:`msgspec.inspect` describes them, so each
bound is written once, on the field.  msgspec's own conversion would stop at the
first fault and speak of types; this one goes on, and speaks to whoever wrote the
manifest: it names unknown keys and the known one that was probably meant.

It knows one field at a time; what one field demands of another is the business
of :mod:`nano_manifest.rules`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import inspect

from nano_manifest.problems import Path, Problem

__all__ = ["Checker"]

_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a boolean"),  # before int, which it is a kind of
    (int, "a number"),
    (float, "a number"),
    (str, "a text"),
    (Mapping, "an object"),
    (Sequence, "a list"),
)


def _called(value: object) -> str:
    """Say what *value* is, as its writer would."""
    if value is None:
        return "nothing"
    for kind, name in _KINDS:
        if isinstance(value, kind):
            plain = isinstance(value, (bool, int, float, str))
            return f"{name} ({value!r})" if plain else name
    return f"of type {type(value).__name__}"


def _did_you_mean(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if close:
        return f"unknown field; did you mean {close[0]}?"
    return f"unknown field; known here: {', '.join(known)}"


class Checker:
    """Walks one object and collects what is wrong with it.

    Attributes:
        problems: What has been found so far, in the object's order.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _add(self, path: Path, text: str) -> None:
        self.problems.append((path, text))

    def visit(
        self,
        kind: inspect.Type,
        value: object,
        path: Path,
        says: str = "",
    ) -> object:
        """Check *value* against *kind*; return it without what is to be ignored."""
        match kind:
            case inspect.Metadata():
                extra = kind.extra or {}
                return self.visit(kind.type, value, path, extra.get("says", says))
            case inspect.UnionType():  # only ever "something or nothing"
                some = [k for k in kind.types if not isinstance(k, inspect.NoneType)]
                return self.visit(some[0], value, path, says)
            case inspect.StructType():
                return self._struct(kind, value, path)
            case inspect.ListType():
                return self._list(kind, value, path)
            case inspect.DictType():
                return self._dict(kind, value, path)
            case inspect.StrType():
                self._text(kind, value, path, says)
            case inspect.IntType() | inspect.FloatType():
                self._number(kind, value, path)
            case inspect.BoolType():
                if not isinstance(value, bool):
                    self._add(path, f"must be true or false, is {_called(value)}")
            case inspect.LiteralType() if value not in kind.values:
                choices = ", ".join(str(choice) for choice in kind.values)
                one_of = "one of " if len(kind.values) > 1 else ""
                self._add(path, f"must be {one_of}{choices}, is {_called(value)}")
            case _:
                pass  # an object of Kubernetes' own: whatever it is
        return value

    def _struct(self, kind: inspect.StructType, value: object, path: Path) -> object:
        if not isinstance(value, Mapping):
            self._add(path, f"must be an object, is {_called(value)}")
            return value
        fields = {field.encode_name: field for field in kind.fields}
        if kind.forbid_unknown_fields:
            for key in value:
                if key not in fields:
                    text = _did_you_mean(str(key), list(fields))
                    self._add((*path, str(key)), text)
        kept: dict[str, object] = {}
        for name, field in fields.items():
            given = value.get(name)
            if given is not None:
                kept[name] = self.visit(field.type, given, (*path, name))
            elif field.required:
                self._add((*path, name), f"is required. {_description(field.type)}")
        return kept

    def _list(self, kind: inspect.ListType, value: object, path: Path) -> object:
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._add(path, f"must be a list, is {_called(value)}")
            return value
        self._length(kind, value, path, "entries")
        return [
            self.visit(kind.item_type, item, (*path, index))
            for index, item in enumerate(value)
        ]

    def _dict(self, kind: inspect.DictType, value: object, path: Path) -> object:
        if not isinstance(value, Mapping):
            self._add(path, f"must be an object, is {_called(value)}")
            return value
        self._length(kind, value, path, "entries")
        for key in value:
            if not isinstance(key, str):
                text = f"a key must be a text, is {_called(key)}; put it in quotes"
                self._add((*path, str(key)), text)
        return {
            key: self.visit(kind.value_type, item, (*path, str(key)))
            for key, item in value.items()
        }

    def _text(
        self, kind: inspect.StrType, value: object, path: Path, says: str
    ) -> None:
        if not isinstance(value, str):
            cure = "; put it in quotes" if isinstance(value, (int, float)) else ""
            self._add(path, f"must be a text, is {_called(value)}{cure}")
            return
        self._length(kind, value, path, "characters")
        if value and kind.pattern and not re.fullmatch(kind.pattern, value):
            self._add(path, f"{value!r} is not allowed; expected {says}")

    def _number(
        self,
        kind: inspect.IntType | inspect.FloatType,
        value: object,
        path: Path,
    ) -> None:
        whole = isinstance(kind, inspect.IntType)
        fits = isinstance(value, int if whole else (int, float))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not fits:
            name = "a whole number" if whole else "a number"
            self._add(path, f"must be {name}, is {_called(value)}")
        elif kind.ge is not None and not value >= kind.ge:
            self._add(path, f"must be at least {kind.ge}, is {value}")
        elif kind.le is not None and not value <= kind.le:
            self._add(path, f"must be at most {kind.le}, is {value}")

    def _length(
        self,
        kind: inspect.StrType | inspect.ListType | inspect.DictType,
        value: Sequence[object] | Mapping[object, object],
        path: Path,
        of: str,
    ) -> None:
        size = len(value)
        if kind.min_length is not None and size < kind.min_length:
            self._add(path, f"must have at least {kind.min_length} {of}, has {size}")
        if kind.max_length is not None and size > kind.max_length:
            self._add(path, f"must have at most {kind.max_length} {of}, has {size}")


def _description(kind: inspect.Type) -> str:
    """The sentence on the field that has *kind*."""
    if not isinstance(kind, inspect.Metadata):
        return ""
    return str((kind.extra_json_schema or {}).get("description", ""))
