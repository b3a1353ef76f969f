"""The room that the bench speaks to: as much work as ``RoomService`` of the Go peer.

What is said is decoded into an object; another one is made and encoded, once for all
members.
"""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import StringValue

from nano import Component, Session, handler


class RoomService(Component):
    """Repeats to every member what one of them says."""

    async def start(self) -> None:
        """Open the room."""
        self.room = self.node.group("room")

    @handler
    def join(self, session: Session, words: StringValue) -> StringValue:
        """Let the client hear what is said from now on."""
        self.room.add(session)
        return StringValue(value=words.value)

    @handler
    def say(self, session: Session, words: StringValue) -> None:
        """Tell all members."""
        self.room.publish("onSay", StringValue(value=words.value))
