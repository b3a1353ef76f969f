from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

import nano_manifest
from nano_manifest import SETTINGS, Settings, crd, overridden, reference

DOCS = Path(__file__).parents[2] / "docs"


def version() -> dict[str, object]:
    spec = crd()["spec"]
    assert isinstance(spec, dict)
    only: dict[str, object]
    (only,) = spec["versions"]
    return only


def schema() -> dict[str, object]:
    held = version()["schema"]
    assert isinstance(held, dict)
    root = held["openAPIV3Schema"]
    assert isinstance(root, dict)
    return root


def levels(
    node: dict[str, object], path: str = "", inside: bool = False
) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every schema in *node*, with where it stands."""
    yield path, node
    properties = node.get("properties", {})
    assert isinstance(properties, dict)
    for name, below in properties.items():
        yield from levels(below, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        below = node.get(keyword)
        if isinstance(below, dict):
            yield from levels(below, f"{path}[]")


def test_the_schema_is_structural() -> None:
    for path, level in levels(schema()):
        assert "type" in level, path
        assert not {"$ref", "anyOf", "oneOf", "allOf"} & set(level), path
        assert not ("properties" in level and "additionalProperties" in level), path


def test_every_field_has_a_sentence() -> None:
    kept_by_kubernetes = (".apiVersion", ".kind", ".metadata")
    for path, level in levels(schema()):
        if path not in kept_by_kubernetes and not path.endswith("[]"):
            assert str(level.get("description", "")).endswith("."), path


def test_every_text_list_and_map_of_the_spec_has_a_bound() -> None:
    spec = dict(levels(schema()))[".spec"]
    for path, level in levels(spec):
        if level["type"] == "string":
            assert "maxLength" in level or "enum" in level, path
        if level["type"] == "array":
            assert "maxItems" in level, path
        if "additionalProperties" in level:
            assert "maxProperties" in level, path


def test_the_scale_subresource_points_at_fields_that_exist() -> None:
    subresources = version()["subresources"]
    assert isinstance(subresources, dict)
    there = dict(levels(schema()))
    assert all(path in there for path in subresources["scale"].values())
    assert there[".spec.gates"]["default"] == {}
    assert there[".spec.gates.replicas"]["default"] == 2


def test_lists_of_named_things_are_merged_by_name() -> None:
    there = dict(levels(schema()))
    for path in (".spec.gates.listeners", ".spec.backends", ".status.backends"):
        assert there[path]["x-kubernetes-list-type"] == "map"
        assert there[path]["x-kubernetes-list-map-keys"] == ["name"]
    assert there[".status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]


def test_the_definition_is_the_same_each_time() -> None:
    assert msgspec.json.encode(crd()) == msgspec.json.encode(crd())
    assert crd() is not crd()


def test_the_page_on_the_manifest_is_up_to_date() -> None:
    assert (DOCS / "manifest.md").read_text() == reference(), nano_manifest.__name__


def test_every_setting_is_a_flag_a_variable_and_a_field() -> None:
    assert [row.name for row in SETTINGS] == list(Settings.__struct_fields__)
    row = next(row for row in SETTINGS if row.name == "max_packet_bytes")
    assert row.flag == "--max-packet-bytes"
    assert row.env == "NANO_MAX_PACKET_BYTES"
    assert row.path == "spec.settings.maxPacketBytes"
    assert (row.kind, row.unit, row.default) == (int, "bytes", 65_536)
    assert (row.minimum, row.maximum) == (1024, 16_777_215)


def test_every_setting_says_its_unit_and_what_it_does() -> None:
    for row in SETTINGS:
        assert row.unit or row.choices, row.name
        assert re.fullmatch(r"[A-Z].*\.", row.sentence), row.name


def test_a_flag_replaces_what_the_manifest_says() -> None:
    written = Settings(max_packet_bytes=2048, log_level="debug")
    assert overridden(written, {"log_level": "error"}) == Settings(
        max_packet_bytes=2048, log_level="error"
    )
