"""Push, kick and the questions about users: what is taken, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from nano.admin.control import control_application
from nano.errors import RequestError
from nano.metrics import Metrics
from nano.node.reach import ByLinks
from nano.runtime.groups import Groups
from nano.runtime.sessions import Sessions
from nano.runtime.users import Question, Users
from nano.serializers import SerializerName, by_name
from tests.runtime.clients import Client, World

from .test_admin import Node


class Single:
    """A node alone with its control port, and one client, ann."""

    def __init__(self, serializer: SerializerName = "json") -> None:
        world = World()
        sessions = Sessions()
        format_ = by_name(serializer)
        self.users = Users(sessions, format_, Metrics(), largest=1000)
        self.groups = Groups(sessions, format_, Metrics(), largest=1000)
        self.reach = ByLinks(self.users, self.groups, serializer)
        self.ann = Client(world.dispatcher)
        sessions.add(self.ann.session)
        self.ann.session.bind("ann")
        self.url = ""

    async def ask(
        self, path: str, body: bytes | str | None = None
    ) -> tuple[int, dict[str, Any]]:
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, data=body) as answer,
        ):
            return answer.status, await answer.json()

    async def refused(self, path: str, body: bytes | str | None = None) -> str:
        status, said = await self.ask(path, body)
        assert (status, list(said)) == (400, ["error"])
        return str(said["error"])


@pytest.fixture(name="format_")
def _format() -> SerializerName:
    return "json"


@pytest.fixture
async def single(format_: SerializerName) -> AsyncIterator[Single]:
    single = Single(format_)
    application = control_application(Node(), None, single.reach)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    single.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield single
    await runner.cleanup()


async def test_a_push_is_answered_in_numbers(single: Single) -> None:
    body = '{"uids": ["ann", "eve", "ann"], "route": "onNews", "payload": [1]}'
    assert await single.ask("/push", body) == (
        200,
        {"reached": 1, "failed": ["eve"], "silent": []},
    )
    assert single.ann.pushes == [("onNews", [1])]


async def test_a_uid_may_be_a_number(single: Single) -> None:
    single.ann.session.bind(7)
    body = '{"uid": 7, "route": "onNews", "payload": 1, "delivery": "drop"}'
    _, said = await single.ask("/push", body)
    assert said["reached"] == 1
    assert single.ann.deliveries == ["drop"]


async def test_a_group_and_everybody_are_pushed_to(single: Single) -> None:
    single.groups.group("lobby").add(single.ann.session)
    body = '{"group": "lobby", "route": "onNews", "payload": 1}'
    assert await single.ask("/push", body) == (200, {"members": 1})
    body = '{"all": true, "route": "onNews", "payload": null}'
    assert (await single.ask("/push", body))[0] == 200
    assert single.ann.pushes == [("onNews", 1), ("onNews", None)]


async def test_a_kick_says_why_and_whether_to_return(single: Single) -> None:
    body = '{"uid": "ann", "reason": "spam", "reconnect": true}'
    _, said = await single.ask("/kick", body)
    assert said == {"reached": 1, "failed": [], "silent": []}
    assert (single.ann.kicked, single.ann.invited) == ("spam", True)


async def test_who_is_online(single: Single) -> None:
    _, said = await single.ask("/online?uid=ann")
    assert said["online"] is True
    _, said = await single.ask("/online?uid=eve")
    assert said == {"online": False, "gates": {}, "silent": []}
    assert await single.refused("/online") == "uid is missing: GET /online?uid=ann"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "the body must be like"),
        ("[]", "the body must be like"),
        (b"\xff", "the body must be like"),
        ('{"uid": "ann", "payload": 1}', "missing required field `route`"),
        ('{"route": "r", "payload": 1, "uid": []}', "at `$.uid`"),
        ('{"route": "r", "payload": 1, "uids": "ann"}', "at `$.uids`"),
        ('{"route": "r", "payload": 1, "uid": "a", "to": 1}', "unknown field `to`"),
        ('{"route": "r", "payload": 1, "uid": "a", "delivery": "x"}', "`$.delivery`"),
        ('{"route": "", "payload": 1, "uid": "a"}', "route: it has 1 to 255 bytes"),
        ('{"route": "' + "é" * 128 + '", "payload": 1, "uid": "a"}', "route: it has"),
        ('{"route": "r", "payload": 1}', "name one of uid, uids, group, or all"),
        ('{"route": "r", "payload": 1, "all": false}', "name one of uid"),
        ('{"route": "r", "payload": 1, "uid": "a", "all": true}', "name one of uid"),
        ('{"route": "r", "payload": 1, "uid": "a", "uids": ["b"]}', "exclude"),
        ('{"route": "r", "payload": 1, "uids": []}', "uids is empty"),
        ('{"route": "r", "payload": 1, "uid": ""}', "is no uid"),
        ('{"route": "r", "payload": 1, "group": ""}', "a group's name has 1 to 255"),
        ('{"route": "r", "uid": "a"}', "payload is missing"),
        ('{"route": "r", "uid": "a", "base64": "aGk="}', "this cluster speaks JSON"),
        (
            '{"route": "r", "uid": "a", "payload": "' + "x" * 1000 + '"}',
            "a payload of 1002 bytes",
        ),
        (
            '{"route": "r", "payload": 1, "uids": ['
            + ", ".join(f'"{n}"' for n in range(1001))
            + "]}",
            "1000 is the most",
        ),
    ],
)
async def test_a_push_that_makes_no_sense_is_refused(
    single: Single, body: str, problem: str
) -> None:
    assert problem in await single.refused("/push", body)
    assert single.ann.pushes == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{}", "name one of uid, uids"),
        ('{"uid": "ann", "why": "x"}', "unknown field `why`"),
        ('{"uid": "ann", "reason": "' + "x" * 201 + '"}', "more than 200 characters"),
        ('{"uid": "ann", "reconnect": 1}', "at `$.reconnect`"),
    ],
)
async def test_a_kick_that_makes_no_sense_is_refused(
    single: Single, body: str, problem: str
) -> None:
    assert problem in await single.refused("/kick", body)
    assert single.ann.kicked == ""


@pytest.mark.parametrize("format_", ["raw", "protobuf"])
async def test_a_cluster_of_bytes_is_given_bytes(single: Single) -> None:
    start = '{"uid": "ann", "route": "r"'
    _, said = await single.ask("/push", start + ', "base64": "ImhpIg=="}')
    assert said["reached"] == 1
    assert single.ann.pushes == [("r", "hi")]
    assert "give the message's bytes as base64" in await single.refused(
        "/push", start + ', "payload": "x"}'
    )
    assert "base64 is missing" in await single.refused("/push", start + "}")
    assert "base64: " in await single.refused("/push", start + ', "base64": "?"}')


async def test_a_body_that_is_too_large_is_refused(single: Single) -> None:
    status, said = await single.ask("/push", b"x" * (64 * 1024 + 1))
    assert status == 413
    assert "65536 bytes is the most" in said["error"]


async def test_too_many_questions_at_once_are_refused(
    single: Single, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        address = "here"

        def is_at_home(self, _: object) -> bool:
            return True

        async def ask(self, question: Question, timeout: float) -> Any:
            raise RequestError(503, "too many questions wait; try again")

        def gates(self) -> list[Any]:
            return []

    monkeypatch.setattr(single.users, "elsewhere", Busy())
    assert await single.ask("/counts") == (
        503,
        {"error": "too many questions wait; try again"},
    )
