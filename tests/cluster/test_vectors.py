"""The messages between nodes are Go nano's, byte for byte; ours are beside them.

The vectors were made by nano's own code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from nano.cluster.pb import cluster_pb2 as pb

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "clusterpb.json").read_text("utf-8")
)
MESSAGES: list[dict[str, Any]] = VECTORS["messages"]
OURS = 100  # the first number of a field that nano does not have

TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def named(name: str) -> type[Message]:
    made = getattr(pb, name.removeprefix("clusterpb."))
    assert isinstance(made, type)
    assert issubclass(made, Message)
    return made


@pytest.mark.parametrize(
    "vector", MESSAGES, ids=lambda it: f"{it['message']}: {it['description']}"
)
class TestAMessageOfNano:
    def test_is_encoded_as_nano_does(self, vector: dict[str, Any]) -> None:
        message = json_format.ParseDict(vector["fields"], named(vector["message"])())
        assert message.SerializeToString(deterministic=True).hex() == vector["hex"]

    def test_is_decoded_as_nano_does(self, vector: dict[str, Any]) -> None:
        kind = named(vector["message"])
        message = kind.FromString(bytes.fromhex(vector["hex"]))
        assert message == json_format.ParseDict(vector["fields"], kind())


def field(it: FieldDescriptor) -> dict[str, Any]:
    kind = it.message_type.full_name if it.message_type else TYPES[it.type]
    return {
        "cardinality": "repeated" if it.is_repeated else "optional",
        "json": it.json_name,
        "name": it.name,
        "number": it.number,
        "type": kind,
    }


def service(it: ServiceDescriptor) -> dict[str, Any]:
    return {
        "name": it.full_name,
        "methods": [
            {
                "path": f"/{it.full_name}/{method.name}",
                "request": method.input_type.full_name,
                "response": method.output_type.full_name,
                "client_streaming": method.client_streaming,
                "server_streaming": method.server_streaming,
            }
            for method in it.methods
        ],
    }


def test_all_messages_have_the_fields_of_nano() -> None:
    ours = {
        it.full_name: [field(each) for each in it.fields if each.number < OURS]
        for it in pb.DESCRIPTOR.message_types_by_name.values()
    }
    theirs = {it["name"]: it["fields"] for it in VECTORS["descriptor"]["messages"]}
    assert ours == theirs


def test_all_services_have_the_calls_of_nano() -> None:
    ours = [service(it) for it in pb.DESCRIPTOR.services_by_name.values()]
    assert ours == VECTORS["descriptor"]["services"]
    assert pb.DESCRIPTOR.package == VECTORS["descriptor"]["package"]
