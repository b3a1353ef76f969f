"""The topic backends: who is new, what it costs, and how busy the chat is."""

from __future__ import annotations

import logging
from typing import Final

from msgspec import Struct

from nano import Component, RequestError, Session, handler

from .terms import EVERYBODY, ROOMS, START_BALANCE, Entered, Traffic, group_of

__all__ = ["TopicService"]

logger = logging.getLogger(__name__)

REPORT_SECONDS: Final = 3.0


class NewUser(Struct):
    """Who has come, as the gate tells it."""

    nickname: str
    gateUid: str
    room: str


class Uid(Struct):
    """Whose message it was."""

    uid: str


class TopicService(Component):
    """Keeps nothing: an account is data of its session, which is at home at its gate.

    So any topic backend serves anybody, and nobody loses anything when one dies.
    """

    async def start(self) -> None:
        """Report regularly."""
        self.node.every(REPORT_SECONDS, self.report)

    @handler("NewUser", internal=True)
    async def new_user(self, session: Session, user: NewUser) -> Entered:
        """Open an account, and have a room backend let the user in."""
        members = await self.node.group(group_of(user.room)).uids()
        session.push("onMembers", {"members": members})
        balance = session.data.get("balance", START_BALANCE)
        session.update({"name": user.nickname, "balance": balance})
        self.node.group(EVERYBODY).add(session)
        newcomer = {
            "nickname": user.nickname,
            "gateUid": user.gateUid,
            "masterUid": session.uid,
            "room": user.room,
        }
        entered = await self.node.call(
            "RoomService.JoinRoom", newcomer, session=session, wanted=Entered
        )
        entered.balance = balance
        return entered

    @handler("Stats", internal=True)
    def stats(self, session: Session, user: Uid) -> None:
        """Charge a user for a message."""
        balance = session.data.get("balance", START_BALANCE) - 1
        session.set("balance", balance)
        session.push("onBalance", {"currentBalance": balance}, delivery="latest")

    async def report(self) -> None:
        """Tell everybody how many there are, and how much they say."""
        try:
            said = await self.node.call_all("RoomService.Last", wanted=dict[str, int])
            gates = await self.node.call_all("BindService.Traffic", wanted=Traffic)
            counts = {it: await self.node.group(group_of(it)).count() for it in ROOMS}
        except (RequestError, TimeoutError) as error:
            logger.info("no report this time: %s", error)
            return
        nodes = said.results.values()
        traffic = gates.results.values()
        report = {
            "users": sum(it.users for it in traffic),
            "rooms": counts,
            "last": {it: max((node[it] for node in nodes), default=0) for it in ROOMS},
            "in": sum(it.came for it in traffic),
            "out": sum(it.went for it in traffic),
        }
        self.node.group(EVERYBODY).publish("onTraffic", report, delivery="latest")
