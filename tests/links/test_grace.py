"""Peers that are apart for a while: what is kept, what is compared, what goes."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from nano.cluster import links as module
from nano.cluster.link import Link
from nano.cluster.outbox import numbered, packed
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import GRACE, PeerState
from nano.runtime.session import Session
from tests.runtime.clients import Answer

from .nodes import GATE, ONE, TWO, Story
from .peers import hello, member, until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)


class Apart:
    """A client's mirror at a backend, whose link to the gate can be cut."""

    def __init__(self, story: Story, address: str) -> None:
        self.story = story
        self.address = address
        self.backend = story.backends[address]
        mirror = story.mirror(address, story.client)
        assert mirror is not None
        self.mirror: Session = mirror
        self.ends: list[str] = []
        self.backend.sessions.on_closed(lambda it: self.ends.append(it.closed))

    async def cut(self) -> Link:
        """Cut the link, and let there be no other until :meth:`heal`."""
        network, gate = self.story.network, self.story.gate
        network.cut |= {GATE, self.address}
        link = gate.links.get(self.address)
        assert link is not None
        for way, stream in zip(network.dialled, network.streams, strict=False):
            if way == (GATE, self.address):
                stream.cut()
        await until(lambda: not gate.links.get(self.address))
        await until(lambda: not self.backend.links.get(GATE))
        return link

    async def heal(self) -> None:
        self.story.network.cut.clear()
        await until(lambda: self.story.gate.links.get(self.address))
        await until(lambda: self.backend.links.get(GATE))

    async def arrive(self) -> None:
        """Wait until all that was said in either direction has arrived."""
        before = self.story.client.send("Shop.who")
        await until(lambda: before in self.story.client.answers)


@pytest.fixture
async def apart(story: Story) -> Apart:
    return Apart(story, await story.bound(story.client))


async def test_a_cut_ends_no_mirror_and_no_binding(apart: Apart) -> None:
    session = apart.story.client.session
    await apart.cut()
    assert apart.story.gate.links.state(apart.address) is PeerState.UNLINKED
    assert session.bindings == {"Shop": apart.address}
    await apart.heal()
    assert await apart.story.bound(apart.story.client) == apart.address
    assert apart.story.mirror(apart.address, apart.story.client) is apart.mirror
    assert apart.ends == []


async def test_what_waits_for_an_answer_is_answered_503_at_once_and_once(
    apart: Apart,
) -> None:
    story = apart.story
    number = story.client.send("Shop.wait")
    await until(lambda: apart.backend.dispatcher.tasks)
    await apart.cut()
    (answer,) = story.client.answers[number]
    assert answer.status == 503
    story.shops[apart.address].free.set()
    await until(lambda: not apart.backend.dispatcher.tasks)
    assert apart.backend.metrics.dropped["answer", "closed"] == 1
    await apart.heal()
    await apart.arrive()
    assert len(story.client.answers[number]) == 1


async def test_an_answer_that_comes_after_the_next_link_reaches_nobody(
    apart: Apart,
) -> None:
    story = apart.story
    number = story.client.send("Shop.later")
    shop = story.shops[apart.address]
    await until(lambda: shop.promises)
    await apart.cut()
    await apart.heal()
    shop.promises[0].respond("late")
    await until(lambda: story.gate.metrics.dropped["answer", "late"] == 1)
    assert [it.status for it in story.client.answers[number]] == [503]


async def test_messages_go_to_another_member_meanwhile(apart: Apart) -> None:
    (other,) = {ONE, TWO} - {apart.address}
    await apart.cut()
    assert await apart.story.bound(apart.story.client) == other
    await apart.heal()
    assert await apart.story.bound(apart.story.client) == other


async def test_with_nobody_else_they_are_answered_503_and_the_binding_stays(
    apart: Apart,
) -> None:
    (other,) = {ONE, TWO} - {apart.address}
    await apart.story.lose(other)
    await apart.cut()
    assert (await apart.story.client.request("Shop.who")).status == 503
    assert apart.story.client.session.bindings == {"Shop": apart.address}
    await apart.heal()
    assert await apart.story.bound(apart.story.client) == apart.address


async def test_a_client_that_leaves_meanwhile_leaves_no_ghost(apart: Apart) -> None:
    story = apart.story
    await apart.cut()
    story.gate.sessions.close(story.client.session, "client-closed")
    assert not apart.ends
    await apart.heal()
    await until(lambda: apart.ends)
    assert apart.ends == ["client-closed"]
    assert not len(apart.backend.sessions)


async def test_a_client_that_leaves_after_the_next_link_leaves_no_ghost(
    apart: Apart,
) -> None:
    """The gate may have forgotten the mirror, the backend names it."""
    story = apart.story
    await apart.cut()
    story.client.session.mirrors.clear()
    await apart.heal()
    await until(lambda: apart.address in story.client.session.mirrors)
    story.gate.sessions.close(story.client.session, "client-closed")
    await until(lambda: apart.ends == ["client-closed"])


async def test_a_mirror_is_introduced_again(apart: Apart) -> None:
    client = apart.story.client
    await apart.cut()
    client.session.bind("ann")
    await apart.heal()
    await apart.arrive()
    assert apart.mirror.uid == "ann"


@pytest.mark.parametrize("while_apart", [True, False])
async def test_what_a_mirror_changes_arrives_in_the_end(
    apart: Apart, while_apart: bool
) -> None:
    session = apart.story.client.session
    (other,) = {ONE, TWO} - {apart.address}
    if while_apart:
        await apart.cut()
    apart.mirror.set("level", 7)
    apart.mirror.router.bind("Shop", other)
    if not while_apart:
        await apart.cut()  # it waits in the outbox, and is lost with the link
        assert "level" not in session.data
    await apart.heal()
    await until(lambda: session.data == {"level": 7})
    await until(lambda: session.bindings == {"Shop": other})


async def test_what_was_taken_is_brought_again_and_not_taken_again(
    apart: Apart,
) -> None:
    session, mirror = apart.story.client.session, apart.mirror
    mirror.set("level", 7)
    await until(lambda: session.data == {"level": 7})
    session.set("level", 8)  # it is newer, whatever the next link brings
    await apart.cut()
    await apart.heal()
    dropped = apart.story.gate.metrics.dropped
    await until(lambda: dropped["link", "again"] == 1)
    assert session.data == {"level": 8}
    mirror.set("level", 9)
    await until(lambda: session.data == {"level": 9})


async def test_a_gone_gate_is_told_nothing_of_what_waited_for_it(apart: Apart) -> None:
    session, mirror = apart.story.client.session, apart.mirror
    await apart.cut()
    mirror.set("level", 7)
    apart.story.network.tick(GRACE + 1)
    assert apart.backend.metrics.dropped["link", "gone"] == 1
    await apart.heal()
    session.router.bind("Shop", apart.address)
    await apart.arrive()
    assert session.data == {}
    again = apart.story.mirror(apart.address, apart.story.client)
    assert again is not None
    again.set("level", 1)  # numbers go on, and so it is taken
    await until(lambda: session.data == {"level": 1})


async def test_a_kick_arrives_in_the_end(apart: Apart) -> None:
    await apart.cut()
    apart.mirror.kick("not here")
    await apart.heal()
    await until(lambda: apart.story.client.kicked)
    assert apart.story.client.kicked == "not here"


async def test_who_misses_a_push_that_must_arrive_is_sent_away_to_come_back(
    apart: Apart,
) -> None:
    client = apart.story.client
    await apart.cut()
    apart.mirror.push("onNews", 1, delivery="drop")
    apart.mirror.push("onNews", 2)
    apart.mirror.push("onNews", 3)
    assert apart.backend.metrics.dropped["push", "closed"] == 3
    await apart.heal()
    await until(lambda: client.kicked)
    assert client.invited
    assert client.pushes == []


async def test_a_push_that_may_be_dropped_is(apart: Apart) -> None:
    client = apart.story.client
    await apart.cut()
    apart.mirror.push("onNews", 1, delivery="drop")
    await apart.heal()
    apart.mirror.push("onNews", 2)
    await until(lambda: client.pushes == [("onNews", 2)])
    assert not client.kicked


async def test_a_mirror_whose_queue_is_full_holds_its_client_back_again(
    apart: Apart,
) -> None:
    story = apart.story
    for _ in range(33):
        story.client.notify("Shop.wait")
    await until(lambda: story.client.paused)
    await apart.cut()
    assert not story.client.paused  # it may talk to others
    await apart.heal()
    await until(lambda: story.client.paused)
    story.shops[apart.address].free.set()
    await until(lambda: not story.client.paused)


async def test_grace_ends_what_was_kept_and_tells_it_once(apart: Apart) -> None:
    story = apart.story
    await apart.cut()
    story.network.tick(GRACE - 0.1)
    assert not apart.ends
    assert story.client.session.bindings
    story.network.tick(0.2)
    assert apart.ends == ["gate-lost"]
    assert story.client.session.bindings == {}
    assert story.client.session.mirrors == {}
    assert apart.backend.links.state(GATE) is PeerState.GONE
    apart.mirror.set("late", 1)  # nobody will ever take it
    story.network.tick(GRACE)
    await apart.heal()
    await apart.arrive()
    assert apart.ends == ["gate-lost"]
    assert story.client.session.data == {}


async def test_a_new_life_at_the_address_ends_what_was_kept_for_the_old(
    apart: Apart,
) -> None:
    story = apart.story
    await apart.cut()
    story.gate.links.hello.incarnation = 2  # as if the process had begun anew
    await apart.heal()
    await until(lambda: apart.ends == ["gate-lost"])
    assert await story.bound(story.client)
    mirror = story.mirror(apart.address, story.client)
    assert mirror is not apart.mirror


async def test_a_member_back_with_other_services_serves_those_alone(
    apart: Apart,
) -> None:
    """It is back before the master has noticed (nano.md E.2, 26)."""
    story = apart.story
    (other,) = {ONE, TWO} - {apart.address}
    await apart.cut()
    theirs = hello(apart.address, ["Bank.pay"])
    theirs.incarnation = 2
    raw = story.network.raw(story.gate.links)
    await raw.greet(theirs)
    await until(lambda: story.gate.links.get(apart.address))
    assert story.client.session.bindings == {}
    assert {await story.bound(story.client) for _ in range(10)} == {other}
    story.client.send("Bank.pay")
    kinds = [(await raw.next()).kind for _ in range(2)]
    assert kinds == [pb.SESSION, pb.REQUEST]


async def test_a_gate_that_stops_is_gone_at_once(apart: Apart) -> None:
    await apart.story.gate.links.stop()
    await until(lambda: apart.ends)
    assert apart.ends == ["gate-lost"]
    assert apart.backend.links.state(GATE) is PeerState.GONE


async def test_a_backend_that_stops_is_gone_at_once(apart: Apart) -> None:
    session = apart.story.client.session
    await apart.backend.links.stop()
    assert apart.ends == ["gate-lost"]  # its own mirrors, too
    await until(lambda: not session.bindings)
    assert apart.story.gate.links.state(apart.address) is PeerState.GONE


async def test_a_healthy_member_that_the_master_drops_goes_on(apart: Apart) -> None:
    story = apart.story
    link = story.gate.links.get(apart.address)
    story.gate.links.remove(member(apart.address))
    apart.backend.links.remove(member(GATE))
    assert await story.bound(story.client) == apart.address
    assert story.gate.links.state(apart.address) is PeerState.UNLISTED
    story.gate.links.add(member(apart.address))
    apart.backend.links.add(member(GATE))
    assert story.gate.links.state(apart.address) is PeerState.LINKED
    assert story.gate.links.get(apart.address) is link
    await apart.cut()  # and from now on it is a member like all others
    await apart.heal()
    assert apart.ends == []


async def test_news_of_the_life_before_do_not_end_the_one_there_is(
    apart: Apart,
) -> None:
    """The master has not heard yet that the peer has begun anew."""
    links = apart.story.gate.links
    await apart.cut()
    apart.backend.links.hello.incarnation = 2
    await apart.heal()
    link = links.get(apart.address)
    links.add(member(apart.address))
    assert links.get(apart.address) is link
    links.add(dataclasses.replace(member(apart.address), incarnation=2))
    assert links.get(apart.address) is link
    assert links.state(apart.address) is PeerState.LINKED


async def test_a_peer_that_nobody_lists_is_not_dialled_for_ever(apart: Apart) -> None:
    """It has begun a new life that the master has not heard of."""
    links = apart.story.gate.links
    await apart.cut()
    apart.backend.links.hello.incarnation = 2
    await apart.heal()
    links.remove(member(apart.address))  # the life before
    assert links.state(apart.address) is PeerState.LINKED
    await apart.cut()
    apart.story.network.tick(GRACE + 1)
    assert apart.address not in links._expected
    links.add(dataclasses.replace(member(apart.address), incarnation=2))
    await apart.heal()


async def test_a_silent_member_that_the_master_drops_is_gone(apart: Apart) -> None:
    story = apart.story
    for _ in range(3):
        story.network.clock.now += 1.0
        story.gate.links.tick(story.network.clock.now)
    assert story.gate.links.state(apart.address) is PeerState.SUSPECT
    story.gate.links.remove(member(apart.address))
    assert story.client.session.bindings == {}
    await until(lambda: not story.gate.links.get(apart.address))


async def test_nobody_new_is_bound_to_a_suspect_while_there_is_another(
    apart: Apart,
) -> None:
    story = apart.story
    (other,) = {ONE, TWO} - {apart.address}
    link = story.gate.links.get(apart.address)
    assert link is not None
    link.suspect = True
    assert {await story.bound(story.gate.client()) for _ in range(20)} == {other}
    assert await story.bound(story.client) == apart.address  # who is bound stays
    await story.lose(other)
    assert await story.bound(story.gate.client()) == apart.address


async def test_a_node_that_was_frozen_does_not_give_the_others_up(
    apart: Apart,
) -> None:
    link = apart.story.gate.links.get(apart.address)
    apart.story.network.clock.now += 60.0
    apart.story.gate.links.tick(apart.story.network.clock.now)
    assert apart.story.gate.links.get(apart.address) is link
    assert apart.story.gate.links.state(apart.address) is PeerState.LINKED


async def test_a_gate_of_a_version_that_does_not_compare_gets_new_mirrors(
    story: Story,
) -> None:
    backend = story.backends[ONE]
    raw = story.network.raw(backend.links)
    theirs = hello("10.0.0.9:1")
    theirs.features.extend([pb.RESPONSE, pb.PUSH])
    await raw.greet(theirs)
    await until(lambda: backend.links.get(theirs.address))
    await raw.send(pb.Envelope(kind=pb.SESSION, session=5))
    await until(lambda: backend.sessions.get(5))
    await raw.stream.close()
    await until(lambda: not backend.sessions.get(5))
    assert backend.links.state(theirs.address) is PeerState.UNLINKED


# ------------------------------------------------------------------------ batches


async def test_a_batch_that_comes_twice_is_taken_once(story: Story) -> None:
    links = story.backends[ONE].links
    raw = story.network.raw(links)
    await raw.greet(hello("10.0.0.9:1"))
    ping = pb.Envelope(kind=pb.PING, id=1)
    batch = pb.Batch(envelopes=[ping], number=1)
    for _ in range(2):
        await raw.stream.write(batch.SerializeToString())
    await raw.stream.write(numbered(packed(ping, ping).data, 2))
    answers = [await raw.next() for _ in range(3)]
    assert [it.kind for it in answers] == [pb.PONG] * 3
    assert story.backends[ONE].metrics.dropped["link", "duplicate"] == 1


async def test_a_batch_that_is_missing_ends_the_link(story: Story) -> None:
    links = story.backends[ONE].links
    raw = story.network.raw(links)
    await raw.greet(hello("10.0.0.9:1"))
    await until(lambda: links.get("10.0.0.9:1"))
    link = links.get("10.0.0.9:1")
    await raw.stream.write(numbered(b"", 2))
    await until(lambda: not links.get("10.0.0.9:1"))
    assert link is not None
    assert link.reason == "a batch is missing"


async def test_numbers_count_from_one_on_each_link(story: Story) -> None:
    links = story.backends[ONE].links
    raw = story.network.raw(links)
    await raw.send(pb.Envelope(kind=pb.HELLO, hello=hello("10.0.0.9:1")))
    first = await raw.batch()
    await raw.send(pb.Envelope(kind=pb.PING, id=1))
    second = await raw.batch()
    assert (first.number, second.number) == (1, 2)


async def test_answers_are_whole_after_any_of_that(apart: Apart) -> None:
    for _ in range(3):
        await apart.cut()
        await apart.heal()
    numbers = [apart.story.client.send("Shop.who") for _ in range(50)]
    await until(lambda: numbers[-1] in apart.story.client.answers)
    for number in numbers:
        assert apart.story.client.answers[number] == [Answer(apart.address, False)]
    await asyncio.sleep(0)
