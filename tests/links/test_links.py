"""All links of a node: who dials, who dials again, and what envelopes do."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
from collections.abc import AsyncIterator

import pytest

from nano.cluster import link as link_module
from nano.cluster import links as module
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.members import Member
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import PeerState
from nano.errors import ClusterError
from nano.testing.memory import stream_pair

from .peers import Network, Raw, hello, member, until

A, B, C = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"


class Witness:
    """Writes down which links open and end."""

    def __init__(self, links: Links) -> None:
        self.lines: list[tuple[str, Link]] = []
        links.observe(self)

    def link_up(self, link: Link) -> None:
        self.lines.append(("up", link))

    def link_down(self, link: Link) -> None:
        self.lines.append(("down", link))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.lines]


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    network = Network()
    yield network
    await network.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def pair(network: Network) -> tuple[Links, Links]:
    one, two = network.links(A), network.links(B)
    network.introduce()
    await until(lambda: one.get(B) and two.get(A))
    return one, two


# ----------------------------------------------------------------------- dialling


async def test_the_lower_address_dials_so_that_a_pair_has_one_link(
    network: Network,
) -> None:
    nodes = {address: network.links(address) for address in (C, A, B)}
    network.introduce()
    network.introduce()  # to be told twice changes nothing
    await until(lambda: all(len(links.open) == 2 for links in nodes.values()))
    assert sorted(network.dialled) == [(A, B), (A, C), (B, C)]


@pytest.mark.parametrize(
    "stranger",
    [
        Member(address=B, role="master", link=True),
        Member(address=B, role="gate", link=False),  # a Go node
        Member(address=A, role="gate", link=True),  # ourselves
    ],
)
async def test_no_link_is_made_with_masters_go_nodes_and_oneself(
    network: Network, stranger: Member
) -> None:
    links = network.links(A)
    links.add(stranger)
    await links.settle()  # there is nobody to wait for
    await asyncio.sleep(0)
    assert network.dialled == []


async def test_a_peer_out_of_reach_is_dialled_again_ever_slower_up_to_a_limit(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.04)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    links = network.links(A)
    dial = links._dial

    def noted(address: str) -> module.DialledStream:
        times.append(loop.time())
        return dial(address)

    monkeypatch.setattr(links, "_dial", noted)
    links.add(member(B))
    await until(lambda: len(times) == 6)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    least = [0.01, 0.02, 0.02, 0.02, 0.02]  # half of 0.02, 0.04, 0.04 …
    assert all(gap >= bound for gap, bound in zip(gaps, least, strict=True))
    network.links(B)
    await until(lambda: links.get(B))


async def test_the_limit_of_the_back_off_is_a_second() -> None:
    assert module.FIRST_DELAY <= 0.1
    assert module.LONGEST_DELAY <= 1.0


async def test_a_link_that_breaks_is_made_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    one, two = await pair(network)
    witness = Witness(one)
    before = one.get(B)
    await network.streams[0].close()
    await until(lambda: one.get(B) not in (None, before))
    await until(lambda: two.get(A))
    assert witness.words == ["down", "up"]


async def test_a_failure_of_the_dialling_itself_is_logged_and_tried_again(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    links = network.links(A)
    network.links(B)
    dial = links._dial
    failed: list[str] = []

    def broken(address: str) -> module.DialledStream:
        if not failed:
            failed.append(address)
            raise RuntimeError("on purpose")
        return dial(address)

    monkeypatch.setattr(links, "_dial", broken)
    links.add(member(B))
    await until(lambda: links.get(B))
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == [f"the link to {B} failed"]


async def test_a_newer_link_replaces_the_one_there_is(network: Network) -> None:
    links = network.links(B)
    witness = Witness(links)
    raws, tasks = [], []
    for _ in range(2):
        near, far = stream_pair()
        tasks.append(asyncio.create_task(links.serve(far)))
        raws.append(Raw(near))
        await raws[-1].greet(hello(A))
        await until(lambda: links.get(A))
        await until(lambda: len(witness.lines) == 2 * len(raws) - 1)
    first, second = witness.lines[0][1], witness.lines[2][1]
    assert witness.lines == [("up", first), ("down", first), ("up", second)]
    assert links.get(A) is second
    goodbye = await raws[0].next()
    assert (goodbye.kind, goodbye.reason) == (
        pb.GOODBYE,
        "replaced by a newer link",
    )
    await raws[0].stream.close()
    assert await tasks[0] is first
    assert witness.words == ["up", "down", "up"]  # its end is told once
    await raws[1].stream.close()
    await tasks[1]


# ------------------------------------------------------------------ end of members


async def test_a_member_that_is_gone_has_no_link_and_is_not_dialled(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    one, two = await pair(network)
    seen_by = Witness(one), Witness(two)
    one.remove(member(B))
    one.remove(member(B))
    (link,) = one.open
    link.end("enough")
    await until(lambda: not one.open and not two.open)
    assert [witness.words for witness in seen_by] == [["down"], ["down"]]
    assert seen_by[1].lines[0][1].reason == "enough"
    await until(lambda: not one._tasks)
    assert len(network.dialled) == 1


async def test_a_member_that_comes_back_at_once_has_a_new_link(
    network: Network,
) -> None:
    one, two = await pair(network)
    before = one.get(B)
    again = dataclasses.replace(member(B), incarnation=2)
    two.hello.incarnation = 2
    one.remove(member(B))
    one.add(again)
    await until(lambda: one.get(B) not in (None, before))
    assert one.state(B) is PeerState.LINKED


async def test_a_member_that_goes_while_it_is_dialled_leaves_nothing(
    network: Network,
) -> None:
    links = network.links(A)
    near, far = stream_pair()
    links._dial = lambda _: near
    links.add(member(B))
    assert (await Raw(far).next()).kind == pb.HELLO  # it waits for ours
    links.remove(member(B))
    await until(lambda: not links._tasks)
    with pytest.raises(ClusterError, match="has ended"):
        await far.write(b"")


async def test_stop_ends_all_links_with_a_farewell(network: Network) -> None:
    one, two = await pair(network)
    three = network.links(C)
    network.introduce()
    await until(lambda: len(two.open) == 2)
    witness = Witness(one), Witness(three)
    await two.stop()
    for other in witness:
        await until(lambda other=other: other.lines)  # type: ignore[misc]
        ((word, link),) = other.lines
        assert (word, link.reason) == ("down", "the node is stopping")
    assert not two.open
    assert not two._tasks
    two.add(member(C))  # too late
    assert not two._tasks


async def test_stop_does_not_wait_for_who_cannot_be_reached(network: Network) -> None:
    links = network.links(A)
    near, _ = stream_pair()
    links._dial = lambda _: near
    links.add(member(B))  # greeted, and never answers
    links.add(member(C))
    await asyncio.sleep(0)
    async with asyncio.timeout(1.0):
        await links.stop()
    assert not links._tasks


async def test_a_stopping_node_takes_no_new_links(network: Network) -> None:
    links = network.links(A)
    await links.stop()
    with pytest.raises(ClusterError, match="this node is stopping"):
        await links.serve(stream_pair()[0])


# ------------------------------------------------------------------------ settling


async def test_a_starting_node_waits_until_it_is_linked(network: Network) -> None:
    one, _ = network.links(A), network.links(B)
    network.introduce()
    await one.settle()
    assert one.get(B)


async def test_a_starting_node_waits_for_one_attempt_only(network: Network) -> None:
    links = network.links(A)
    links.add(member(B))
    async with asyncio.timeout(1.0):
        await links.settle()
    assert not links.get(B)


async def test_a_starting_node_does_not_wait_long_to_be_dialled(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLING_TIME", 0.01)
    links = network.links(B)
    links.add(member(A))
    await links.settle()


# ----------------------------------------------------------------------- envelopes


async def raw_peer(network: Network, links: Links) -> Raw:
    raw = network.raw(links)
    await raw.greet(hello(A))
    await until(lambda: links.get(A))
    return raw


async def test_a_hello_lists_the_kinds_that_are_acted_upon(network: Network) -> None:
    links = network.links(B, ["A.b"])
    links.act(pb.REQUEST, lambda link, envelope: None)
    theirs = await network.raw(links).greet(hello(A))
    assert list(theirs.features) == [
        pb.HELLO,
        pb.GOODBYE,
        pb.PING,
        pb.PONG,
        pb.UNSUPPORTED,
        pb.REQUEST,
    ]
    assert [handler.route for handler in theirs.handlers] == ["A.b"]
    assert theirs.incarnation == 1


async def test_a_ping_is_answered(network: Network) -> None:
    raw = await raw_peer(network, network.links(B))
    await raw.send(pb.Envelope(kind=pb.PING, id=9))
    pong = await raw.next()
    assert (pong.kind, pong.id) == (pb.PONG, 9)


@pytest.mark.parametrize("kind", [0, pb.HELLO, pb.DRAIN, pb.PUBLISH, pb.MOVED, 999])
async def test_a_kind_that_is_not_acted_upon_is_refused_and_breaks_nothing(
    network: Network, kind: int
) -> None:
    links = network.links(B)
    raw = await raw_peer(network, links)
    strange = pb.Envelope(kind=kind, session=3, payload=b"x")  # type: ignore[arg-type]
    await raw.send(strange, pb.Envelope(kind=pb.PING, id=1))
    refusal, pong = await raw.next(), await raw.next()
    assert (refusal.kind, refusal.id) == (pb.UNSUPPORTED, kind)
    assert pong.kind == pb.PONG
    assert links._metrics.dropped == {("link", "unsupported"): 1}


async def test_a_refused_kind_is_logged_and_not_refused_in_turn(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    raw = await raw_peer(network, network.links(B))
    await raw.send(pb.Envelope(kind=pb.UNSUPPORTED, id=40))
    await raw.send(pb.Envelope(kind=pb.PING, id=1))
    assert (await raw.next()).kind == pb.PONG
    assert f"{A} does not act upon kind 40" in caplog.messages


async def test_an_act_that_fails_is_logged_and_breaks_nothing(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    links = network.links(B)

    def fail(link: Link, envelope: pb.Envelope) -> None:
        raise RuntimeError("on purpose")

    links.act(pb.DRAIN, fail)
    raw = await raw_peer(network, links)
    await raw.send(pb.Envelope(kind=pb.DRAIN), pb.Envelope(kind=pb.PING, id=1))
    assert (await raw.next()).kind == pb.PONG
    assert f"DRAIN from {A} failed" in caplog.messages


# --------------------------------------------------------------------------- time


async def test_both_sides_measure_the_way(network: Network) -> None:
    one, two = await pair(network)
    links = one.get(B), two.get(A)
    network.tick(1.0)
    network.clock.now += 0.25
    for link in links:
        assert link is not None
        await until(lambda link=link: link.round_trip == 0.25)  # type: ignore[misc]


async def test_a_silent_peer_is_given_up_and_dialled_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(link_module, "FAREWELL_TIME", 0.01)
    links = network.links(A)
    witness = Witness(links)
    near, far = stream_pair()
    ways = [near]
    dial = links._dial
    links._dial = lambda address: ways.pop() if ways else dial(address)
    links.add(member(B))
    raw = Raw(far)
    await raw.greet(hello(B))
    await until(lambda: links.get(B))
    network.links(B)
    for _ in range(6):
        network.clock.now += 1.0
        links.tick(network.clock.now)
    await until(lambda: witness.words == ["up", "down", "up"])
    assert witness.lines[0][1].reason == "nothing came for 5 s"


async def test_open_links_are_counted(network: Network) -> None:
    one, _ = await pair(network)
    assert b"nano_links 1.0" in one._metrics.render()
    assert all(text.endswith(".") for _, text, _, _ in one._gauges())


async def test_peers_are_counted_by_state(network: Network) -> None:
    one, _ = await pair(network)
    assert b'nano_peers{state="linked"} 1.0' in one._metrics.render()
    network.clock.now += 1.0
    one.tick(network.clock.now)
    network.clock.now += 1.0
    one.tick(network.clock.now)  # the other does not tick, and so is silent
    assert b'nano_peers{state="suspect"} 1.0' in one._metrics.render()
    assert b'nano_peers{state="linked"} 0.0' in one._metrics.render()
    assert one.state(B) is PeerState.SUSPECT
    await until(lambda: not _suspects(one))
    assert one.state(B) is PeerState.LINKED


async def test_a_member_without_a_link_is_counted_as_gone_while_it_is_listed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.001)
    links = network.links(A)
    assert b'nano_peers{state="gone"} 0.0' in links._metrics.render()
    links.add(member(B))
    links.add(member(C))
    assert b'nano_peers{state="gone"} 2.0' in links._metrics.render()
    network.links(B)
    await until(lambda: links.get(B))
    assert b'nano_peers{state="gone"} 1.0' in links._metrics.render()
    links.remove(member(C))
    assert b'nano_peers{state="gone"} 0.0' in links._metrics.render()


def _suspects(links: Links) -> bool:
    links.tick(links._time())
    return links.open[0].suspect
