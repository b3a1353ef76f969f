"""What the chat's components do, in a cluster in memory."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml
from hypothesis import given
from hypothesis.strategies import integers, lists, permutations

from examples.chat.chat import tickets
from examples.chat.chat.history import KEPT, History
from examples.chat.chat.rates import Bucket, Buckets, Minute
from examples.chat.chat.terms import Line
from examples.chat.chat.web import PORT
from nano import RequestError
from nano.errors import UsageError
from nano.node import Node, Role
from nano.testing import MemoryClient, MemoryCluster
from nano_manifest import NanoCluster, loads
from nano_operator.names import BACKEND_ROLE, role_labels

CHAT = Path(__file__).parents[2] / "examples" / "chat"
SECRET = "a secret for these tests"
NOW = 1_700_000_000.0


def without_the_page(rooms: int = 2) -> NanoCluster:
    """The example's manifest, but for what wants real sockets."""
    manifest = loads((CHAT / "cluster.yaml").read_text())
    spec = manifest.spec
    backends = [
        msgspec.structs.replace(it, replicas=rooms if it.name == "room" else 1)
        for it in spec.backends
        if it.name != "web"
    ]
    spec = msgspec.structs.replace(spec, backends=backends)
    return msgspec.structs.replace(manifest, spec=spec)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_SECRET", SECRET)


@pytest_asyncio.fixture
async def chat() -> AsyncIterator[MemoryCluster]:
    async with MemoryCluster(without_the_page(), app_dir=str(CHAT)) as cluster:
        yield cluster


def ticket(name: str) -> dict[str, str]:
    return {"ticket": tickets.sign(name, SECRET.encode(), time.time())}


async def enter(
    chat: MemoryCluster, name: str, gate: int = 0, room: str = "lobby"
) -> tuple[MemoryClient, dict[str, Any]]:
    """A client with a ticket, logged in."""
    client = await chat.connect(gate=gate, user=ticket(name))
    return client, await client.request("BindService.Login", {"room": room})


def served_by(chat: MemoryCluster, line: dict[str, Any]) -> Node:
    """The room backend that has taken *line*."""
    (node,) = [it for it in chat.backends["room"] if it.address == line["node"]]
    return node


async def test_two_users_at_two_gates_chat(chat: MemoryCluster) -> None:
    ann, hers = await enter(chat, "ann", gate=0)
    bob, his = await enter(chat, "bob", gate=1)
    assert (hers["members"], his["members"]) == (["ann"], ["ann", "bob"])
    assert hers["gate"] != his["gate"]
    assert await bob.next_push("onMembers") == {"members": ["ann"]}
    join = {"name": "bob", "room": "lobby", "content": "User user join: bob"}
    assert await ann.next_push("onNewUser") == join
    assert await ann.request("RoomService.SyncMessage", {"content": "hi 😀"}) == {
        "code": 0
    }
    for client in (ann, bob):
        line = await client.next_push("onMessage")
        assert (line["name"], line["content"]) == ("ann", "hi 😀")
    assert await ann.next_push("onBalance") == {"currentBalance": 999}
    assert bob.received("onNewUser") == []  # nobody hears of himself
    assert bob.received("onBalance") == []


async def test_who_leaves_is_announced_by_the_gate(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    bob, _ = await enter(chat, "bob")
    twice, _ = await enter(chat, "bob", gate=1)  # a second window
    await bob.close()
    await chat.clock.settle()
    assert ann.received("onLeave") == []
    for node in chat.backends["room"]:
        await chat.kill(node)
    await twice.close()
    left = {"name": "bob", "room": "lobby", "content": "bob has left"}
    assert await ann.next_push("onLeave") == left


async def test_the_chat_goes_on_when_a_room_backend_dies(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann", gate=0)
    bob, _ = await enter(chat, "bob", gate=1)
    await ann.request("RoomService.SyncMessage", {"content": "before"})
    before = await bob.next_push("onMessage")
    await chat.kill(served_by(chat, before))
    await chat.clock.advance(30)
    await ann.request("RoomService.SyncMessage", {"content": "after"})
    after = await bob.next_push("onMessage")
    assert after["content"] == "after"
    assert after["node"] != before["node"]
    assert (await ann.next_push("onBalance"))["currentBalance"] == 999
    assert (await ann.next_push("onBalance"))["currentBalance"] == 998
    _, his = await enter(chat, "carl", gate=1)
    assert [it["content"] for it in his["history"]] == ["before", "after"]
    assert his["members"] == ["ann", "bob", "carl"]


async def test_a_new_room_backend_learns_what_was_said(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    await ann.request("RoomService.SyncMessage", {"content": "remember me"})
    await chat.clock.settle()
    old = list(chat.backends["room"])
    await chat.start(Role.BACKEND, "room")
    for node in old:
        await chat.kill(node)
    await chat.clock.advance(30)
    _, his = await enter(chat, "bob")
    assert [it["content"] for it in his["history"]] == ["remember me"]


async def test_the_chat_goes_on_without_the_topic_backend(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    bob, _ = await enter(chat, "bob", gate=1)
    await chat.kill(chat.backends["topic"][0])
    await ann.request("RoomService.SyncMessage", {"content": "still here"})
    assert (await bob.next_push("onMessage"))["content"] == "still here"
    await chat.start(Role.BACKEND, "topic")
    await chat.clock.advance(30)
    await ann.request("RoomService.SyncMessage", {"content": "and charged"})
    assert (await ann.next_push("onBalance"))["currentBalance"] == 999


async def test_rooms_are_apart(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    bob, his = await enter(chat, "bob", room="garden")
    assert his["members"] == ["bob"]
    moved = await ann.request("RoomService.ChangeRoom", {"room": "garden"})
    assert (moved["room"], moved["members"]) == ("garden", ["ann", "bob"])
    assert (await bob.next_push("onNewUser"))["name"] == "ann"
    await bob.request("RoomService.ChangeRoom", {"room": "kitchen"})
    assert (await ann.next_push("onLeave"))["name"] == "bob"
    await bob.request("RoomService.SyncMessage", {"content": "alone"})
    await chat.clock.settle()
    assert ann.received("onMessage") == []
    found = await ann.request("RoomService.Members", {"room": "kitchen"})
    assert found == {"members": ["bob"]}


async def test_everybody_is_told_how_busy_it_is(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    await enter(chat, "bob", gate=1)
    await ann.request("RoomService.SyncMessage", {"content": "one"})
    await ann.request("RoomService.SyncMessage", {"content": "two"})
    await chat.clock.settle()
    ann.received("onTraffic")  # from before
    await chat.clock.advance(3)
    report = await ann.next_push("onTraffic")
    assert (report["users"], report["in"], report["out"]) == (2, 2, 4)
    assert report["rooms"]["lobby"] == 2
    gates = [(gate, "nano_messages_total") for gate in chat.gates]
    assert report["out"] == sum(chat.count(*it, route="onMessage") for it in gates)
    await chat.clock.advance(61)
    assert ann.received("onTraffic")[-1]["in"] == 0


async def test_what_is_sent_twice_is_said_once(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    words = {"content": "once", "id": "7f3a"}
    await ann.request("RoomService.SyncMessage", words)
    await ann.request("RoomService.SyncMessage", words)
    await chat.clock.settle()
    assert [it["id"] for it in ann.received("onMessage")] == ["7f3a"]


async def test_who_says_too_much_has_to_wait(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    for number in range(8):
        await ann.request("RoomService.SyncMessage", {"content": f"{number}"})
    with pytest.raises(RequestError, match=r"NANO-429: content: .* wait 1.0 s"):
        await ann.request("RoomService.SyncMessage", {"content": "9"})
    await ann.notify("RoomService.SyncMessage", {"content": "9"})
    refused = await ann.next_push("onRefused")
    assert refused["status"] == 429
    await chat.clock.advance(1)
    await ann.request("RoomService.SyncMessage", {"content": "9"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"content": "  \n"}, "NANO-400: content: there is nothing in it"),
        ({"content": "x" * 501}, "NANO-413: content: 501 characters"),
        ({"content": "a\0b"}, "NANO-400: content: it has control characters"),
        ({"content": "a", "id": "é"}, "NANO-400: id: up to 40 plain"),
        ({"content": 7}, "NANO-400: .*content"),
        ({}, "NANO-400: .*content"),
    ],
)
async def test_what_does_not_fit_is_refused(
    chat: MemoryCluster, words: dict[str, Any], said: str
) -> None:
    ann, _ = await enter(chat, "ann")
    with pytest.raises(RequestError, match=said):
        await ann.request("RoomService.SyncMessage", words)


async def test_a_guest_has_the_name_of_a_guest(chat: MemoryCluster) -> None:
    guest = await chat.connect()
    login = "BindService.Login"
    with pytest.raises(RequestError, match="NANO-401: log in first"):
        await guest.request("RoomService.SyncMessage", {"content": "let me in"})
    with pytest.raises(RequestError, match="NANO-401: nickname: without a ticket"):
        await guest.request(login, {"nickname": "ann"})
    with pytest.raises(RequestError, match="NANO-400: nickname: 1 to 24"):
        await guest.request(login, {"nickname": "guest" * 6})
    with pytest.raises(RequestError, match="NANO-400: nickname: letters"):
        await guest.request(login, {"nickname": "guest\u202e1"})
    with pytest.raises(RequestError, match="NANO-404: room: there is none"):
        await guest.request(login, {"nickname": "guest1", "room": "cellar"})
    assert (await guest.request(login, {"nickname": "guest1"}))["name"] == "guest1"
    other = await chat.connect(gate=1)
    with pytest.raises(RequestError, match="NANO-409: nickname: guest1 is here"):
        await other.request(login, {"nickname": "guest1"})


async def test_a_ticket_is_for_one_name(chat: MemoryCluster) -> None:
    client = await chat.connect(user=ticket("ann"))
    with pytest.raises(RequestError, match="NANO-403: nickname: you are ann here"):
        await client.request("BindService.Login", {"nickname": "bob"})


async def test_no_client_reaches_what_is_for_nodes(chat: MemoryCluster) -> None:
    ann, _ = await enter(chat, "ann")
    for route in (
        "TopicService.NewUser",
        "TopicService.Stats",
        "RoomService.JoinRoom",
        "BindService.Traffic",
    ):
        with pytest.raises(RequestError, match="NANO-404"):
            await ann.request(route, {})


async def test_a_forged_ticket_is_refused(chat: MemoryCluster) -> None:
    forged = tickets.sign("ann", b"another secret, not ours", NOW)
    for user in ({"ticket": forged}, {"ticket": None}):
        with pytest.raises(Exception, match="401"):
            await chat.connect(user=user)


# ------------------------------------------------------------------- the tickets


def test_a_ticket_is_read_until_it_is_too_old() -> None:
    given = tickets.sign("Ann Ö 😀", b"secret", NOW)
    assert tickets.read(given, b"secret", NOW + tickets.LIFETIME) == "Ann Ö 😀"
    with pytest.raises(tickets.TicketError, match="too old; log in again"):
        tickets.read(given, b"secret", NOW + tickets.LIFETIME + 1)


@pytest.mark.parametrize("given", [None, 7, {}, "", "é", "a" * 2000, "a.b", "."])
def test_what_is_no_ticket_is_refused(given: object) -> None:
    with pytest.raises(tickets.TicketError, match="log in"):
        tickets.read(given, b"secret", NOW)


def test_no_byte_of_a_ticket_can_be_changed() -> None:
    given = tickets.sign("ann", b"secret", NOW)
    for place in range(len(given)):
        other = "A" if given[place] != "A" else "B"
        changed = given[:place] + other + given[place + 1 :]
        with pytest.raises(tickets.TicketError):
            tickets.read(changed, b"secret", NOW)


def test_a_laptop_makes_one_secret_and_pods_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAT_SECRET")
    file = tmp_path / ".secret"
    with pytest.raises(UsageError, match="CHAT_SECRET has to be a secret"):
        tickets.find_secret("10.0.0.7:7650", file)
    made = tickets.find_secret("127.0.0.1:7650", file)
    assert tickets.find_secret("127.0.0.1:7651", file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert [it.name for it in tmp_path.iterdir()] == [".secret"]
    monkeypatch.setenv("CHAT_SECRET", SECRET)
    assert tickets.find_secret("10.0.0.7:7650", file) == SECRET.encode()


async def test_a_broken_topic_backend_keeps_nobody_from_speaking(
    chat: MemoryCluster,
) -> None:
    ann, _ = await enter(chat, "ann")
    chat.line(chat.backends["topic"][0], chat.gates[0]).freeze()
    async with asyncio.timeout(1):
        await ann.request("RoomService.SyncMessage", {"content": "no waiting"})


# ---------------------------------------------------------------------- its parts


def test_a_bucket_gives_so_many_at_once_and_then_one_at_an_interval() -> None:
    bucket = Bucket(3, 2.0, NOW)
    assert [bucket.take(NOW) for _ in range(4)] == [0, 0, 0, 2.0]
    assert bucket.take(NOW + 1) == 1.0
    assert bucket.take(NOW + 2) == 0
    assert [bucket.take(NOW + 100) for _ in range(4)] == [0, 0, 0, 2.0]


def test_of_many_buckets_the_idle_ones_are_forgotten() -> None:
    buckets = Buckets(1, 60.0, most=2)
    assert buckets.take("a", NOW) == 0
    assert buckets.take("a", NOW) == 60.0
    assert buckets.take("b", NOW) == 0
    assert buckets.take("c", NOW) == 0
    assert buckets.take("a", NOW) == 0


def test_a_minute_is_what_a_count_has_grown_by() -> None:
    minute = Minute(1000.0, 500)
    assert minute.growth == 0
    for second in range(1, 91):  # one more each second
        minute.look(1000.0 + second, 500 + second)
        assert minute.growth == min(second, 60)
    minute.look(1100.0, 590)  # nothing more has come
    assert minute.growth == 50
    minute.look(1149.0, 590)
    assert minute.growth == 1
    minute.look(5000.0, 590)
    assert minute.growth == 0


@given(lists(integers(0, 200)), permutations(range(120)))
def test_nodes_that_are_told_in_any_order_remember_the_same(
    twice: list[int], order: list[int]
) -> None:
    lines = [
        Line(
            name="a", content="x", room="lobby", id=f"{it % 120}", at=it % 120, node=""
        )
        for it in range(120)
    ]
    one, other = History(), History()
    one.merge(lines)
    other.merge(lines[it] for it in order)
    other.merge(lines[it % 120] for it in twice)
    assert other.of("lobby") == one.of("lobby") == lines[-KEPT:]
    assert other.last("lobby") == 119
    assert other.last("garden") == 0


# --------------------------------------------------------------- what goes with them


def test_the_service_of_the_page_finds_its_pods_and_the_gates_port() -> None:
    documents: Any = yaml.safe_load_all((CHAT / "page-service.yaml").read_text())
    service, settings, policy = documents
    manifest = loads((CHAT / "cluster.yaml").read_text())
    (page,) = [it for it in manifest.spec.backends if it.name == "web"]
    labels = role_labels(manifest.metadata.name, BACKEND_ROLE, page.name)
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == PORT
    (variable,) = page.env
    source: Any = variable.value_from
    wanted = source["configMapKeyRef"]
    assert settings["metadata"]["name"] == wanted["name"]
    (listener,) = manifest.spec.gates.listeners
    assert settings["data"][wanted["key"]] == str(listener.node_port)
    assert policy["spec"]["podSelector"]["matchLabels"] == service["spec"]["selector"]
    assert policy["spec"]["ingress"] == [{"ports": [{"port": PORT, "protocol": "TCP"}]}]


@pytest.mark.parametrize(
    ("source", "package", "there"),
    [
        ("chat/chat/web.py", "examples.chat.chat", "chat/web.py"),
        ("fourinarow/four/web.py", "examples.fourinarow.four", "four/web.py"),
        ("demo-chat/demo.py", "", "demo.py"),
    ],
)
def test_a_page_finds_its_client_in_an_image_which_has_no_checkout_around(
    source: str, package: str, there: str
) -> None:
    path = CHAT.parent / source
    module: dict[str, Any] = {
        "__name__": "in_an_image",
        "__package__": package,
        "__file__": f"/app/{there}",
    }
    exec(compile(path.read_text(), path, "exec"), module)
    assert module["CLIENTS"][0] == Path("/app/client")


@pytest.mark.parametrize("example", ["chat", "demo-chat", "fourinarow"])
def test_an_image_from_the_root_is_made_of_what_is_not_ignored(example: str) -> None:
    root = CHAT.parents[1]
    kept = re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(), re.M)
    dockerfile = (root / "examples" / example / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+) /app/", dockerfile, re.M)
    assert copied
    assert [it for it in copied if not (root / it).exists()] == []
    assert [it for it in copied if not it.startswith(tuple(kept))] == []


def test_the_readme_has_every_route_and_variable() -> None:
    readme = (CHAT / "README.md").read_text()
    code = "".join(it.read_text() for it in (CHAT / "chat").glob("*.py"))
    names = re.findall(r'@handler\("(\w+)"\)', code)
    names += re.findall(r"CHAT_[A-Z_]+", code)
    names += re.findall(r'(?:push|publish)\("(on\w+)"', code)
    assert len(names) > 10
    assert [it for it in names if it not in readme] == []
