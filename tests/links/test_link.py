"""One link: its greeting, its batches, its pings and every way it can end."""

from __future__ import annotations

import asyncio

import pytest

from nano.cluster import link as module
from nano.cluster.link import TRANSITIONS, VERSION, Link, LinkInput, LinkState
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.metrics import Metrics
from nano.testing.memory import stream_pair

from .peers import PATIENCE, Clock, Raw, Running, hello, open_link, until

GREETING, OPEN, CLOSED = LinkState

# every cell: what follows, or None where the input has no place
TABLE = {
    (GREETING, LinkInput.HELLO): OPEN,
    (GREETING, LinkInput.END): CLOSED,
    (OPEN, LinkInput.HELLO): None,
    (OPEN, LinkInput.END): CLOSED,
    (CLOSED, LinkInput.HELLO): None,
    (CLOSED, LinkInput.END): CLOSED,
}


def new_link(address: str = "10.0.0.1:1") -> tuple[Link, Raw]:
    ours, theirs = stream_pair()
    return Link(ours, hello(address), Metrics(), Clock()), Raw(theirs)


def test_the_table_of_states_is_whole() -> None:
    assert set(TABLE) == {(state, it) for state in LinkState for it in LinkInput}
    assert set(TRANSITIONS) == {cell for cell, after in TABLE.items() if after}


@pytest.mark.parametrize(("state", "happened"), TABLE)
async def test_each_state_takes_what_it_should_and_nothing_else(
    state: LinkState, happened: LinkInput
) -> None:
    link, _ = new_link()
    link.state = state
    after = TABLE[state, happened]
    if after is None:
        with pytest.raises(ClusterError, match=f"{happened.value} while {state.value}"):
            link.step(happened)
        assert link.state is state
    else:
        link.step(happened)
        assert link.state is after


# ------------------------------------------------------------------- the greeting


async def test_both_sides_learn_who_the_other_is() -> None:
    ours, theirs = stream_pair()
    one = Link(ours, hello("10.0.0.1:1", ["A.b"]), Metrics(), Clock())
    two = Link(theirs, hello("10.0.0.2:1", ["C.d"]), Metrics(), Clock())
    await asyncio.gather(one.greet(), two.greet())
    assert (one.state, two.state) == (OPEN, OPEN)
    assert (one.address, two.address) == ("10.0.0.2:1", "10.0.0.1:1")
    assert [handler.route for handler in one.peer.handlers] == ["C.d"]
    assert two.peer.role == "backend"


def other_version() -> pb.Hello:
    theirs = hello("10.0.0.2:1")
    theirs.version = VERSION + 1
    return theirs


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (other_version(), f"link protocol {VERSION + 1} and {VERSION} do not meet"),
        (
            hello("10.0.0.2:1", cluster="default/other"),
            "this is cluster 'default/demo', not 'default/other'",
        ),
        (hello("10.0.0.1:1"), "10.0.0.1:1 cannot have a link with itself"),
    ],
)
async def test_a_peer_that_does_not_belong_here_is_told_why(
    theirs: pb.Hello, reason: str
) -> None:
    link, raw = new_link()
    await raw.send(pb.Envelope(kind=pb.HELLO, hello=theirs))
    with pytest.raises(ClusterError) as refused:
        await link.greet()
    assert str(refused.value) == reason
    assert (await raw.next()).kind == pb.HELLO
    goodbye = await raw.next()
    assert (goodbye.kind, goodbye.reason) == (pb.GOODBYE, reason)
    assert link.state is CLOSED


async def test_the_reason_is_ours_also_when_the_peer_has_gone_before_it_is_told() -> (
    None
):
    link, raw = new_link()
    theirs = hello("10.0.0.2:1", cluster="default/other")
    await raw.send(pb.Envelope(kind=pb.HELLO, hello=theirs))
    task = asyncio.create_task(link.greet())
    assert (await raw.next()).kind == pb.HELLO
    await raw.stream.close()
    with pytest.raises(ClusterError, match="this is cluster"):
        await task


async def test_a_refusal_of_the_peer_is_the_error() -> None:
    link, raw = new_link()
    await raw.send(pb.Envelope(kind=pb.GOODBYE, reason="go away"))
    with pytest.raises(ClusterError, match=r"^go away$"):
        await link.greet()


async def test_a_peer_must_greet_first() -> None:
    link, raw = new_link()
    await raw.send(pb.Envelope(kind=pb.PING, id=1))
    with pytest.raises(ClusterError, match="the peer did not greet"):
        await link.greet()
    assert link.state is CLOSED


async def test_an_empty_batch_is_no_greeting() -> None:
    link, raw = new_link()
    await raw.send()
    with pytest.raises(ClusterError, match="the peer did not greet"):
        await link.greet()


async def test_a_stream_that_ends_is_no_greeting() -> None:
    link, raw = new_link()
    task = asyncio.create_task(link.greet())
    assert (await raw.next()).kind == pb.HELLO
    await raw.stream.close()
    with pytest.raises(ClusterError, match="the peer did not greet"):
        await task


async def test_a_peer_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GREETING_TIME", 0.01)
    link, _ = new_link()
    with pytest.raises(ClusterError, match="the peer did not greet in time"):
        await link.greet()


async def test_what_comes_in_one_batch_with_the_greeting_is_not_lost() -> None:
    link, raw = new_link()
    theirs = pb.Envelope(kind=pb.HELLO, hello=hello("10.0.0.2:1"))
    await raw.send(theirs, pb.Envelope(kind=pb.PING, id=7))
    await link.greet()
    running = Running(link)
    await until(lambda: running.received)
    assert [(e.kind, e.id) for e in running.received] == [(pb.PING, 7)]
    link.end("enough")
    await raw.stream.close()
    await running.over()


async def test_a_newer_peer_with_unknown_fields_and_kinds_is_understood() -> None:
    link, raw = new_link()
    theirs = hello("10.0.0.2:1")
    theirs.features.extend([pb.HELLO, pb.REQUEST, 998, 999])  # type: ignore[list-item]
    newer = pb.Hello.FromString(theirs.SerializeToString() + b"\xfa\x3f\x03abc")
    assert newer != theirs  # it holds field 1023, which nobody here knows
    await raw.send(pb.Envelope(kind=pb.HELLO, hello=newer))
    await link.greet()
    assert link.peer.address == "10.0.0.2:1"
    running = Running(link)
    ping = pb.Envelope(kind=pb.PING, id=5).SerializeToString() + b"\xfa\x3f\x03abc"
    await raw.send(pb.Envelope.FromString(ping), pb.Envelope(kind=999))  # type: ignore[arg-type]
    await until(lambda: len(running.received) == 2)
    assert running.received[0].id == 5
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)


# -------------------------------------------------------------------- the traffic


async def test_what_one_turn_says_travels_in_one_batch_in_order() -> None:
    async with open_link() as (running, raw):
        for number in range(1000):
            running.link.message(pb.PUSH, 1, number, "r", b"x")
        running.link.send(pb.Envelope(kind=pb.PAUSE, session=1))
        batch = await raw.batch()
        assert [e.id for e in batch.envelopes[:1000]] == list(range(1000))
        assert batch.envelopes[1000].kind == pb.PAUSE
        assert len(batch.envelopes) == 1001
        assert running.link.outbox.waiting == 0


async def test_batches_and_envelopes_are_counted_both_ways() -> None:
    metrics = Metrics()
    ours, theirs = stream_pair()
    raw = Raw(theirs)
    link = Link(ours, hello("10.0.0.1:1"), metrics, Clock())
    await asyncio.gather(link.greet(), raw.greet(hello("10.0.0.2:1")))
    running = Running(link)
    counts = metrics.peer("10.0.0.2:1")
    assert counts.batches_in == counts.batches_out == 0  # greetings do not count
    for number in range(3):
        link.message(pb.PUSH, 1, number, "r", b"")
    await raw.batch()
    await raw.send(pb.Envelope(kind=pb.PING), pb.Envelope(kind=pb.PING))
    await until(lambda: len(running.received) == 2)
    assert (counts.batches_out, counts.envelopes_out) == (1, 3)
    assert (counts.batches_in, counts.envelopes_in) == (1, 2)
    assert counts.bytes_out > 0
    link.end("enough")
    await raw.stream.close()
    await running.over()


async def test_a_ping_measures_the_way_there_and_back() -> None:
    clock = Clock()
    async with open_link(clock) as (running, raw):
        link = running.link
        link.tick(clock.now)
        assert link.outbox.waiting == 0  # not due
        clock.now += 1.0
        link.tick(clock.now)
        ping = await raw.next()
        assert ping.kind == pb.PING
        clock.now += 0.25
        link.pong(ping.id)
        assert link.round_trip == 0.25
        clock.now += 0.5
        link.pong(ping.id - 1)  # an old one says nothing
        assert link.round_trip == 0.25


# ------------------------------------------------------------------------ the end


async def test_the_farewell_comes_after_all_that_waits() -> None:
    async with open_link() as (running, raw):
        for number in range(30):
            running.link.message(pb.RESPONSE, 0, number, "", bytes(200_000))
        running.link.end("enough")
        running.link.end("again")
        envelopes: list[pb.Envelope] = []
        while not envelopes or envelopes[-1].kind != pb.GOODBYE:
            envelopes.append(await raw.next())
        assert [e.id for e in envelopes[:-1]] == list(range(30))
        assert envelopes[-1].reason == "enough"
        await raw.send(pb.Envelope(kind=pb.GOODBYE, reason="bye"))
        assert await running.over() == "enough"
        assert running.link.state is CLOSED
        assert running.link.outbox.full


async def test_whoever_sends_learns_of_the_end_before_the_farewell_is_over() -> None:
    async with open_link(room=1) as (running, _):
        for _ in range(3):
            running.link.message(pb.RESPONSE, 0, 1, "", bytes(2 << 20))
        running.link.end("enough")
        await until(lambda: running.ended)
        assert running.ended == [running.link]
        assert not running.task.done()


async def test_answers_that_come_during_the_farewell_are_still_received() -> None:
    async with open_link() as (running, raw):
        running.link.end("enough")
        assert (await raw.next()).kind == pb.GOODBYE
        await raw.send(pb.Envelope(kind=pb.RESPONSE, id=3))
        await raw.send(pb.Envelope(kind=pb.GOODBYE))
        await running.over()
        assert [e.kind for e in running.received] == [pb.RESPONSE, pb.GOODBYE]


async def test_a_farewell_of_the_peer_is_answered_and_is_the_reason() -> None:
    async with open_link() as (running, raw):
        running.link.message(pb.RESPONSE, 0, 1, "", b"")
        await raw.send(pb.Envelope(kind=pb.GOODBYE, reason="the node is stopping"))
        assert await running.over() == "the node is stopping"
        assert [(await raw.next()).kind for _ in range(2)] == [pb.RESPONSE, pb.GOODBYE]


async def test_both_may_say_goodbye_at_once() -> None:
    ours, theirs = stream_pair()
    one = Link(ours, hello("10.0.0.1:1"), Metrics(), Clock())
    two = Link(theirs, hello("10.0.0.2:1"), Metrics(), Clock())
    await asyncio.gather(one.greet(), two.greet())
    ends = [Running(one), Running(two)]
    one.end("one goes")
    two.end("two goes")
    assert [await end.over() for end in ends] == ["one goes", "two goes"]


async def test_the_end_of_the_stream_ends_the_link() -> None:
    async with open_link() as (running, raw):
        await raw.stream.close()
        assert await running.over() == "the peer ended the stream"
        assert running.ended == [running.link]


async def test_silence_of_more_than_5_seconds_ends_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FAREWELL_TIME", 0.01)
    clock = Clock()
    async with open_link(clock) as (running, raw):
        for _ in range(5):
            clock.now += 1.0
            running.link.tick(clock.now)
        assert not running.link.reason
        clock.now += 0.1
        running.link.tick(clock.now)
        assert await running.over() == "nothing came for 5 s"
        kinds = [envelope.kind for envelope in await raw.rest()]
        assert kinds[-1] == pb.GOODBYE
        assert kinds.count(pb.PING) == 5


async def test_a_word_now_and_then_keeps_the_link() -> None:
    clock = Clock()
    async with open_link(clock) as (running, raw):
        for number in range(10):
            clock.now += 4.0
            await raw.send(pb.Envelope(kind=pb.PONG))
            await until(lambda n=number: len(running.received) > n)  # type: ignore[misc]
            running.link.tick(clock.now)
        assert not running.link.reason


async def test_a_peer_that_takes_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WRITE_TIME", 0.02)
    monkeypatch.setattr(module, "FAREWELL_TIME", 0.01)
    async with open_link(room=1) as (running, _):
        for _ in range(3):
            running.link.message(pb.RESPONSE, 0, 1, "", bytes(2 << 20))
        assert await running.over() == "the peer took nothing for 0.02 s"


async def test_a_cancelled_link_is_closed() -> None:
    async with open_link() as (running, _):
        await asyncio.sleep(0)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        assert running.link.state is CLOSED
        assert running.link.reason == "stopped"


async def test_a_farewell_to_a_peer_that_does_not_read_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FAREWELL_TIME", 0.02)
    async with open_link(room=1) as (running, _):
        for _ in range(5):
            running.link.message(pb.RESPONSE, 0, 1, "", bytes(2 << 20))
        await until(lambda: running.link.outbox.waiting < 5 * (2 << 20))
        running.link.end("enough")
        async with asyncio.timeout(PATIENCE):
            await running.over()
