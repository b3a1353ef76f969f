"""Reaching users over HTTP: push, kick, who is online, how many there are.

What another program of yours needs, a web shop or a moderator's page, to say something
to clients without being one and without being a node.  Each request is answered with
what came of it, in numbers; every push and kick leaves a line in the log.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from nano.admin.answers import LONGEST_REASON, audit, error, json
from nano.admin.subject import Reach
from nano.errors import EncodeError, RequestError, UsageError
from nano.protocol.messages import LONGEST_ROUTE
from nano.runtime.session import Delivery
from nano.runtime.users import Reached

__all__ = ["reach_routes"]

WRONG: Final = (UsageError, EncodeError, ValueError)  # what nodes say of arguments

_Body = TypeVar("_Body")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Refused(Exception):
    """The body asks for something that cannot be; the text says what."""


class _Push(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /push``: to whom, and what."""

    route: str
    uid: str | int | None = None
    uids: list[str | int] | None = None
    group: str | None = None
    all: bool = False
    payload: Any | UnsetType = UNSET
    base64: str | UnsetType = UNSET
    delivery: Delivery = "must"


class _Kick(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /kick``: whom, and why."""

    uid: str | int | None = None
    uids: list[str | int] | None = None
    reason: str = "kicked"
    reconnect: bool = False


def reach_routes(reach: Reach) -> list[web.RouteDef]:
    """Return the paths by which users are reached through *reach*."""
    asked = _Reaching(reach)
    return [
        web.post("/push", _refusing(asked.push)),
        web.post("/kick", _refusing(asked.kick)),
        web.get("/online", _refusing(asked.online)),
        web.get("/counts", _refusing(asked.counts)),
    ]


def _refusing(handler: _Handler) -> _Handler:
    """Return *handler* with what it refuses as an answer that says why."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _Refused as refused:
            return error(400, str(refused))
        except RequestError as refused:
            return error(refused.status, refused.message)

    return answered


class _Reaching:
    """The handlers of one application."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def push(self, request: web.Request) -> web.Response:
        asked = await _read(request, _Push, '{"uid": "ann", "route": "onNews"}')
        if not 0 < len(asked.route.encode(errors="replace")) <= LONGEST_ROUTE:
            raise _Refused(f"route: it has 1 to {LONGEST_ROUTE} bytes")
        uids = _whom(asked.uid, asked.uids)
        given = [uids is not None, asked.group is not None, asked.all]
        if sum(given) != 1:
            raise _Refused("name one of uid, uids, group, or all with true")
        value = self._value(asked)
        if uids is not None:
            reached = await _done(
                self._reach.push(uids, asked.route, value, asked.delivery)
            )
            to = f"{len(uids)} uids"
            answer = _told(reached)
        elif asked.group is not None:
            members = await _done(
                self._reach.publish(asked.group, asked.route, value, asked.delivery)
            )
            to = f"the group {asked.group!r}"
            answer = {"members": members}
        else:
            counts = await _done(
                self._reach.push_to_all(asked.route, value, asked.delivery)
            )
            to = "everybody"
            silent = list(counts.silent)
            answer = {"clients": counts.total, "gates": counts.gates, "silent": silent}
        audit(request, "push %r to %s: %s", asked.route, to, _short(answer))
        return json(answer)

    async def kick(self, request: web.Request) -> web.Response:
        asked = await _read(request, _Kick, '{"uid": "ann", "reason": "spam"}')
        if len(asked.reason) > LONGEST_REASON:
            raise _Refused(f"reason: it has more than {LONGEST_REASON} characters")
        uids = _whom(asked.uid, asked.uids)
        if uids is None:
            raise _Refused("name one of uid, uids")
        reached = await _done(self._reach.kick(uids, asked.reason, asked.reconnect))
        answer = _told(reached)
        audit(request, "kick %d uids, %r: %s", len(uids), asked.reason, _short(answer))
        return json(answer)

    async def online(self, request: web.Request) -> web.Response:
        uid = request.query.get("uid", "")
        if not uid:
            raise _Refused("uid is missing: GET /online?uid=ann")
        found = await _done(self._reach.online(uid))
        return json(
            {"online": bool(found), "gates": found.gates, "silent": list(found.silent)}
        )

    async def counts(self, _: web.Request) -> web.Response:
        counts = await self._reach.counts()
        return json(
            {
                "clients": counts.total,
                "gates": counts.gates,
                "silent": list(counts.silent),
            }
        )

    def _value(self, asked: _Push) -> Any:
        """Return what is to be pushed, as the cluster's serializer takes it."""
        serializer = self._reach.serializer
        if serializer == "json":
            if asked.base64 is not UNSET:
                raise _Refused("base64: this cluster speaks JSON; give a payload")
            if asked.payload is UNSET:
                raise _Refused("payload is missing; null is one, too")
            return asked.payload
        if asked.payload is not UNSET:
            raise _Refused(
                f"payload: this cluster's serializer is {serializer}; give the "
                "message's bytes as base64"
            )
        if asked.base64 is UNSET:
            raise _Refused("base64 is missing: the message's bytes")
        try:
            return base64.b64decode(asked.base64, validate=True)
        except (binascii.Error, ValueError) as broken:
            raise _Refused(f"base64: {broken}") from None


async def _read(request: web.Request, wanted: type[_Body], example: str) -> _Body:
    """Return the body as *wanted*; *example* is shown to who sends something else."""
    try:
        return msgspec.json.decode(await request.read(), type=wanted)
    except msgspec.DecodeError as broken:
        raise _Refused(f"the body must be like {example}: {broken}") from None


async def _done(action: Awaitable[_Body]) -> _Body:
    """Wait for *action*; what it says of its arguments is for who gave them."""
    try:
        return await action
    except WRONG as wrong:
        raise _Refused(str(wrong)) from wrong


def _whom(uid: str | int | None, uids: list[str | int] | None) -> list[str] | None:
    """Return the uids of a body, each once; ``None`` if it has none."""
    if uid is not None and uids is not None:
        raise _Refused("uid and uids exclude each other; name one of them")
    if uid is not None:
        uids = [uid]
    if uids is None:
        return None
    if not uids:
        raise _Refused("uids is empty; name somebody")
    return list(dict.fromkeys(map(str, uids)))


def _told(reached: Reached) -> dict[str, object]:
    return {
        "reached": len(reached.found),
        "failed": list(reached.failed),
        "silent": list(reached.silent),
    }


def _short(answer: dict[str, object]) -> str:
    """Say an answer in a line that stays short: of lists only how many they are."""
    parts = (
        f"{name} {len(it) if isinstance(it, list | dict) else it}"
        for name, it in answer.items()
    )
    return ", ".join(parts)
