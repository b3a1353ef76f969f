"""A class of messages as protoc would make it, without protoc.

``Pong`` is what the Go server answered with from which the conversation under
protobuf was recorded; its ``Ping`` has a text in field 1, as a StringValue.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message


def message_class(name: str, **fields: int) -> type[Message]:
    """Return a class of messages whose *fields*, by number, are texts."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package="tests", syntax="proto3"
    )
    described = file.message_type.add(name=name)
    for field, number in fields.items():
        described.field.add(
            name=field,
            number=number,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.{name}"))


PONG = message_class("Pong", content=2)
