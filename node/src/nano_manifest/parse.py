"""From a file, a text or an object to a :class:`NanoCluster`, and back.

YAML is read as Kubernetes reads it, with three differences in the user's favour:
a key that is written twice is an error and not a quiet loss, a date is the text
it was written as, and every problem is reported with its line.

A file holds one manifest, and maybe the ConfigMaps that its backends take their
components from: so one file is all that ``kubectl apply`` and ``nanoctl up`` need.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import cast

import msgspec
import yaml
from msgspec import inspect

from nano_manifest._base import Object
from nano_manifest.check import Checker
from nano_manifest.model import API_VERSION, KIND, NanoCluster
from nano_manifest.problems import ManifestError, Path, Problem, dotted
from nano_manifest.rules import violations
from nano_manifest.sources import Sources, is_config_map, read_config_map

__all__ = [
    "dumps",
    "from_object",
    "load",
    "load_with_sources",
    "loads",
    "plain",
    "to_object",
]

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_BEGINNING = f"a manifest begins with 'apiVersion: {API_VERSION}' and 'kind: {KIND}'"


class _Loader(yaml.SafeLoader):
    """Safe YAML without dates: Kubernetes has no such kind of value."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - a class attribute of the base too
        first: [pair for pair in pairs if pair[0] != _TIMESTAMP]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load(path: str | FilePath) -> NanoCluster:
    """Read the manifest in the file *path*.

    Raises:
        ManifestError: The file cannot be read, or is no good manifest.
    """
    return load_with_sources(path)[0]


def load_with_sources(path: str | FilePath) -> tuple[NanoCluster, Sources]:
    """Read the manifest in the file *path*, and the ConfigMaps beside it.

    Raises:
        ManifestError: The file cannot be read, or is no good manifest.
    """
    name = str(path)
    try:
        text = FilePath(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        problem = f"is no UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ManifestError([("", problem)], source=name) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ManifestError([("", problem)], source=name) from None
    return _loads(text, name)


def loads(text: str, *, source: str = "") -> NanoCluster:
    """Read the manifest in *text*; *source* is what errors call it.

    Raises:
        ManifestError: It is no good manifest; all problems found are in it.
    """
    return _loads(text, source)[0]


def _loads(text: str, source: str) -> tuple[NanoCluster, Sources]:
    try:
        documents = _read_yaml(text)
    except yaml.YAMLError as error:
        line, problem = _yaml_problem(error)
        raise ManifestError([("", problem)], lines=[line], source=source) from None
    except RecursionError:
        raise ManifestError([("", "is nested too deeply")], source=source) from None
    cluster: NanoCluster | None = None
    sources: dict[str, Mapping[str, str]] = {}
    found: list[tuple[int, str, str]] = []
    alone = len(documents) == 1  # and then it ought to be the manifest
    for node, data in documents:
        if is_config_map(data) and not alone:
            name, files, problems = read_config_map(data)
            if name in sources:
                problems.append((("metadata", "name"), f"{name} is there already"))
            sources[name] = files
        else:
            cluster, problems = _build(data)
        problems = [*_faults(node, set()), *problems]
        found += [(_line(node, path), dotted(path), text) for path, text in problems]
    if cluster is None or found:
        found.sort()
        raise ManifestError(
            [(field, problem) for _, field, problem in found],
            lines=[line for line, _, _ in found],
            source=source,
        )
    return cluster, sources


def from_object(data: Mapping[str, object]) -> NanoCluster:
    """Build a cluster from what the API server, or any JSON, says.

    Raises:
        ManifestError: It is no good manifest; all problems found are in it.
    """
    cluster, problems = _build(data)
    if cluster is None:
        raise ManifestError([(dotted(path), problem) for path, problem in problems])
    return cluster


def to_object(cluster: NanoCluster) -> dict[str, object]:
    """Return *cluster* as the object a person would write.

    Fields that have their default value are left out, and so is the status.
    """
    head = {"apiVersion": cluster.api_version, "kind": cluster.kind}
    return {**head, **_written(msgspec.structs.replace(cluster, status={}))}


def dumps(cluster: NanoCluster) -> str:
    """Return *cluster* as YAML that :func:`loads` reads back to an equal one."""
    text: str = yaml.safe_dump(to_object(cluster), sort_keys=False, width=88)
    return text


def _build(data: object) -> tuple[NanoCluster | None, list[Problem]]:
    """Check *data* whole; return the cluster, or else what is wrong."""
    if not isinstance(data, Mapping):
        return None, [((), f"is no manifest: {_BEGINNING}")]
    problems = list(_head(data))
    if problems:  # another kind of object altogether: its fields say nothing
        return None, problems
    checker = Checker()
    kept = checker.visit(inspect.type_info(NanoCluster), data, ())
    if checker.problems:
        return None, checker.problems
    cluster = msgspec.convert(kept, NanoCluster)
    problems = list(violations(cluster))
    return (None if problems else cluster), problems


def _head(data: Mapping[str, object]) -> Iterator[Problem]:
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        given = data.get(field)
        if given is None:
            yield (field,), f"is required; {_BEGINNING}"
        elif given != wanted:
            yield (field,), f"must be {wanted}, is {given}"


def _written(value: Object) -> dict[str, object]:
    """Return the fields of *value* that are not at their default."""
    kept: dict[str, object] = {}
    for field in msgspec.structs.fields(value):
        given = getattr(value, field.name)
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        else:
            default = field.default
        if given != default:
            kept[field.encode_name] = plain(given)
    return kept


def plain(value: object) -> object:
    """Return *value* of a field as JSON knows it."""
    if isinstance(value, Object):
        return _written(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


# What PyYAML composes: mappings and sequences of nodes that know their line.


def _read_yaml(text: str) -> list[tuple[yaml.Node, object]]:
    """Return the documents in *text*: one manifest, and ConfigMaps."""
    loader = _Loader(text)
    documents: list[tuple[yaml.Node, object]] = []
    manifests = 0
    try:
        while loader.check_node():
            found = loader.get_node()
            if found is None or found.tag == "tag:yaml.org,2002:null":
                continue  # nothing between two lines of '---'
            data = loader.construct_document(found)
            manifests += not is_config_map(data)
            if manifests > 1:
                raise yaml.MarkedYAMLError(
                    problem="a second document begins here; a file holds one manifest "
                    "and, maybe, ConfigMaps with its components",
                    problem_mark=found.start_mark,
                )
            documents.append((found, data))
        if not documents:
            raise yaml.MarkedYAMLError(problem=f"is empty; {_BEGINNING}")
    finally:
        loader.dispose()
    return documents


def _yaml_problem(error: yaml.YAMLError) -> tuple[int, str]:
    if not isinstance(error, yaml.MarkedYAMLError):
        return 0, f"is no YAML: {error}"
    mark = error.problem_mark or error.context_mark
    words = [error.context, error.problem]
    return (mark.line + 1 if mark else 0), ", ".join(filter(None, words))


def _entries(
    node: yaml.Node | None,
) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    """Yield the children of *node*.

    Each is the step of the path that leads there, the child, and what one sees of
    it first: its key, where it has one.
    """
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield str(key.value), child, key
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield index, child, child


def _faults(
    node: yaml.Node | None,
    seen: set[yaml.Node],
    path: Path = (),
    around: tuple[yaml.Node, ...] = (),
) -> Iterator[Problem]:
    """Yield what PyYAML takes and we do not.

    Each node is visited once, however many aliases lead to it.  Refused are a key
    that its mapping has twice (PyYAML would keep the last), and a thing that contains
    itself by an alias.
    """
    keys: set[Hashable] = set()
    for step, child, _ in _entries(node):
        below = (*path, step)
        if step in keys:
            yield below, "is written twice; remove one"
        keys.add(step)
        if child in around:
            yield below, "stands for something that it is a part of"
        elif child not in seen:
            seen.add(child)
            yield from _faults(child, seen, below, (*around, child))


def _line(node: yaml.Node | None, path: Path) -> int:
    """The line of *path*, or of the nearest thing around it that is there."""
    shown = node
    for step in path:
        below = [(child, at) for key, child, at in _entries(node) if key == step]
        if not below:
            break
        node, shown = below[-1]
    return cast(yaml.Mark, shown.start_mark).line + 1 if shown is not None else 0
