"""Sessions on other nodes: introduced, kept up to date, and ended."""

from __future__ import annotations

from nano.cluster.mirrors import MirrorHome
from nano.cluster.pb import link_pb2 as pb
from tests.runtime.clients import Answer, Client

from .nodes import GATE, ONE, OTHER_GATE, TWO, Gate, Story, sent_on
from .peers import until


async def test_a_session_is_introduced_in_front_of_its_first_message_only(
    story: Story,
) -> None:
    session = story.client.session
    story.client.send("Shop.who")
    story.client.notify("Shop.who")
    link = story.gate.links.get(session.bindings["Shop"])
    envelopes = sent_on(link)
    kinds = [pb.SESSION, pb.REQUEST, pb.NOTIFY]
    assert [envelope.kind for envelope in envelopes] == kinds
    assert {envelope.session for envelope in envelopes} == {session.id}
    state = envelopes[0].state
    assert (state.version, state.client_address) == (1, "192.0.2.1:4321")
    story.client.send("Shop.who")
    assert [envelope.kind for envelope in sent_on(link)] == [pb.REQUEST]


async def test_a_changed_session_is_introduced_again(story: Story) -> None:
    client = story.client
    backend = await story.bound(client)
    await client.request("Lobby.name", "ann")
    client.session.set("level", 3)
    await client.request("Shop.who")
    assert story.shops[backend].seen == [("", {}), ("ann", {"level": 3})]
    client.send("Shop.who")
    link = story.gate.links.get(backend)
    assert [envelope.kind for envelope in sent_on(link)] == [pb.REQUEST]


async def test_what_a_backend_stores_is_known_at_home_and_on_other_nodes(
    story: Story,
) -> None:
    client = story.client
    backend = await story.bound(client)
    await client.request("Shop.know", {"uid": "ann", "level": 7})
    assert (client.session.uid, client.session.data) == ("ann", {"level": 7})
    await client.request("Shop.who")
    assert story.shops[backend].seen[-1] == ("ann", {"level": 7})
    await story.lose(backend)
    other = await story.bound(client)
    assert story.shops[other].seen == [("ann", {"level": 7})]


async def test_who_wrote_a_change_is_not_sent_it_again(story: Story) -> None:
    client = story.client
    backend = await story.bound(client)
    await client.request("Shop.know", {"uid": "ann", "level": 7})
    client.send("Shop.who")
    link = story.gate.links.get(backend)
    assert [envelope.kind for envelope in sent_on(link)] == [pb.REQUEST]


async def test_only_those_who_hold_a_mirror_are_told_of_the_end(story: Story) -> None:
    client = story.client
    holder = await story.bound(client)
    (other,) = {ONE, TWO} - {holder}
    assert story.mirror(holder, client)
    assert not story.mirror(other, client)
    story.gate.sessions.close(client.session, "client-closed")
    assert sent_on(story.gate.links.get(other)) == []
    mirror = story.mirror(holder, client)
    await until(lambda: not story.mirror(holder, client))
    assert mirror is not None
    assert mirror.closed == "client-closed"


async def test_a_lost_gate_closes_its_mirrors_and_no_others(story: Story) -> None:
    other = Gate(story.network, OTHER_GATE)
    story.network.introduce()
    await until(lambda: len(other.links.open) == 3)
    stranger = other.client()
    clients: dict[str, Client] = {}
    while len(clients) < 2:
        client = story.gate.client()
        clients[await story.bound(client)] = client
    address = await story.bound(stranger)
    mirror = story.mirror(address, clients[address])
    assert mirror is not None
    await story.lose(address)
    await until(lambda: mirror.closed)
    assert mirror.closed == "gate-lost"
    assert story.mirror(address, stranger)
    assert (await stranger.request("Shop.who")).value == address
    await other.links.stop()


async def test_a_push_to_a_lost_gate_is_dropped_and_counted(story: Story) -> None:
    backend = await story.bound(story.client)
    mirror = story.mirror(backend, story.client)
    assert mirror is not None
    await story.lose(backend)
    await until(lambda: mirror.closed)
    for _ in range(3):
        mirror.push("onNews", 1)
    dropped = story.backends[backend].metrics.dropped
    assert dropped["push", "closed"] == 3


async def test_a_full_queue_on_the_backend_holds_the_client_back(story: Story) -> None:
    backend = await story.bound(story.client)
    for _ in range(33):
        story.client.notify("Shop.wait")
    await until(lambda: story.client.paused)
    story.shops[backend].free.set()
    await until(lambda: not story.client.paused)


async def test_a_backend_answers_before_its_handler_ends(story: Story) -> None:
    backend = await story.bound(story.client)
    assert (await story.client.request("Shop.early")).value == "early"
    mirror = story.mirror(backend, story.client)
    assert mirror is not None
    assert mirror.turns.busy
    story.shops[backend].free.set()
    assert (await story.client.request("Shop.who")).value == backend


async def test_a_backend_answers_when_it_likes(story: Story) -> None:
    backend = await story.bound(story.client)
    number = story.client.send("Shop.later")
    shop = story.shops[backend]
    await until(lambda: shop.promises)
    assert (await story.client.request("Shop.who")).value == backend
    assert number not in story.client.answers
    shop.promises[0].respond("now")
    await until(lambda: number in story.client.answers)
    assert story.client.answers[number] == [Answer("now", False)]


async def test_a_promise_to_a_client_that_has_gone_is_empty(story: Story) -> None:
    backend = await story.bound(story.client)
    story.client.send("Shop.later")
    shop = story.shops[backend]
    await until(lambda: shop.promises)
    story.gate.sessions.close(story.client.session, "client-closed")
    await until(lambda: not story.mirror(backend, story.client))
    shop.promises[0].respond("now")
    assert sent_on(story.backends[backend].links.get(GATE)) == []


async def test_envelopes_about_a_session_that_has_gone_are_counted(
    story: Story,
) -> None:
    backend = await story.bound(story.client)
    link = story.backends[backend].links.get(GATE)
    assert link is not None
    home = MirrorHome(link, 12345, story.gate.dispatcher)
    home.push("onNews", b"1")
    home.kick("why")
    home.pause()
    home.resume()
    dropped = story.gate.metrics.dropped
    await until(lambda: dropped["link", "no-session"] == 4)
