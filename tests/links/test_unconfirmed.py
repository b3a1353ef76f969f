"""Changes that wait until the peer is known to have taken them."""

from __future__ import annotations

from nano.cluster.pb import link_pb2 as pb
from nano.cluster.unconfirmed import Unconfirmed

from .peers import open_link, until


def change(number: int) -> pb.Envelope:
    return pb.Envelope(kind=pb.LEAVE, id=number)


def numbers(changes: Unconfirmed) -> list[int]:
    return [envelope.id for envelope in changes.take()]


def test_the_answer_to_a_ping_confirms_what_was_sent_before_it() -> None:
    changes = Unconfirmed()
    for number, ping in [(1, 0), (2, 0), (3, 1), (4, 2)]:
        assert changes.add(change(number), ping)
    changes.confirm(0)
    assert len(changes) == 4
    changes.confirm(2)
    assert numbers(changes) == [4]
    assert not changes


def test_the_oldest_go_for_want_of_room() -> None:
    changes = Unconfirmed(most=2)
    for number in range(5):
        changes.add(change(number), 0)
    assert changes.forgotten == 3
    assert numbers(changes) == [3, 4]


def test_nothing_is_kept_for_who_is_gone() -> None:
    changes = Unconfirmed()
    changes.add(change(1), 0)
    changes.close()
    assert not changes.add(change(2), 0)
    assert not changes


async def test_a_link_keeps_a_change_until_the_peer_has_answered_a_ping() -> None:
    async with open_link() as (running, raw):
        link = running.link
        link.change(change(7))
        assert (await raw.next()).id == 7
        link.pong(0)  # of a ping before it
        assert len(link.unconfirmed) == 1
        link.tick(link._time() + 1.0)
        ping = await raw.next()
        link.pong(ping.id)
        assert not link.unconfirmed


async def test_a_link_that_has_ended_keeps_changes_and_sends_nothing() -> None:
    async with open_link() as (running, raw):
        running.link.end("enough")
        assert running.link.change(change(1))
        assert [it.kind for it in await raw.rest()] == [pb.GOODBYE]
        await until(running.task.done)
        assert running.link.change(change(2))
        assert numbers(running.link.unconfirmed) == [1, 2]
