"""What the nodes of the groups' tests run."""

from __future__ import annotations

from typing import Any

from nano import Component, Group, Session, handler


class Rooms(Component):
    """One room, on the backends."""

    room: Group

    async def start(self) -> None:
        self.room = self.node.group("room")

    @handler
    def join(self, session: Session, uid: str) -> str:
        session.bind(uid)
        self.room.add(session)
        self.room.publish("onJoin", uid, without=session)
        return self.node.name

    @handler
    def leave(self, session: Session, _: None) -> bool:
        self.room.remove(session)
        return True

    @handler
    def say(self, session: Session, value: Any) -> str:
        self.room.publish("onSay", value)
        return self.node.name

    @handler
    def count_up(self, session: Session, number: int) -> bool:
        for value in range(number):
            self.room.publish("onSay", value)
        return True

    @handler
    async def who(self, session: Session, _: None) -> dict[str, Any]:
        return {"count": await self.room.count(), "uids": await self.room.uids()}

    @handler
    async def whisper(self, session: Session, uid: str) -> bool:
        found = await self.room.find(uid)
        if found is not None:
            found.push("onWhisper", session.uid)
        return found is not None


class Lobby(Rooms):
    """The same room, on the gates."""
