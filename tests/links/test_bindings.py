"""Bindings that handlers look at and change, at home and on other nodes."""

from __future__ import annotations

import pytest

from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import UNKNOWN_VERSION
from nano.errors import UsageError
from nano.runtime.session import Session
from tests.runtime.clients import World

from .nodes import GATE, ONE, TWO, Story, sent_on
from .peers import hello, until


async def test_a_gate_sees_who_serves_and_to_whom_a_session_is_bound(
    story: Story,
) -> None:
    router = story.client.session.router
    assert router.find("Shop") is None
    assert router.members("Shop") == [ONE, TWO]
    assert router.members("Lobby") == []  # the gate itself, always
    assert router.members("Nothing") == []
    assert await story.bound(story.client) == router.find("Shop")


async def test_a_session_goes_where_it_is_bound_from_the_next_message_on(
    story: Story,
) -> None:
    client = story.client
    waiting = client.send("Shop.wait")
    old = client.session.router.find("Shop")
    assert old is not None
    (other,) = {ONE, TWO} - {old}
    client.session.router.bind("Shop", other)
    assert client.session.router.find("Shop") == other
    behind = client.send("Shop.who")
    story.shops[old].free.set()
    await until(lambda: behind in client.answers)
    assert client.order == [waiting, behind]
    assert client.answers[waiting][0].value == old  # what it had in hand it answers
    assert client.answers[behind][0].value == other


async def test_an_unbound_session_chooses_again(story: Story) -> None:
    router = story.client.session.router
    chosen = set()
    for _ in range(60):
        router.unbind("Shop")
        assert router.find("Shop") is None
        chosen.add(await story.bound(story.client))
    assert chosen == {ONE, TWO}
    router.unbind("Nothing")  # harmless


async def test_nobody_is_bound_to_who_does_not_serve(story: Story) -> None:
    router = story.client.session.router
    with pytest.raises(UsageError, match=rf"serves 'Shop' now; {ONE}, {TWO} do$"):
        router.bind("Shop", "10.0.0.77:1")
    with pytest.raises(UsageError, match="serves 'Lobby' now; nobody does"):
        router.bind("Lobby", ONE)
    await story.lose(ONE)
    with pytest.raises(UsageError, match=rf"serves 'Shop' now; {TWO} do$"):
        router.bind("Shop", ONE)
    assert router.find("Shop") is None


async def mirrored(story: Story) -> tuple[str, Session]:
    """Return a backend that serves the client, and the client's mirror there."""
    backend = await story.bound(story.client)
    mirror = story.mirror(backend, story.client)
    assert mirror is not None
    return backend, mirror


async def test_a_backend_binds_at_the_sessions_home(story: Story) -> None:
    backend, mirror = await mirrored(story)
    (other,) = {ONE, TWO} - {backend}
    router, home = mirror.router, story.client.session.router
    assert router.find("Shop") == backend
    assert router.members("Shop") == [ONE, TWO]  # itself, too
    router.bind("Shop", other)
    assert router.find("Shop") == other
    await until(lambda: home.find("Shop") == other)
    assert await story.bound(story.client) == other
    router.bind("Shop", backend)
    await until(lambda: home.find("Shop") == backend)
    router.unbind("Shop")
    await until(lambda: home.find("Shop") is None)


async def test_a_backend_is_told_of_bindings_in_front_of_the_next_message(
    story: Story,
) -> None:
    backend, mirror = await mirrored(story)
    (other,) = {ONE, TWO} - {backend}
    router = story.client.session.router
    router.bind("Shop", other)
    router.bind("Shop", backend)
    await until(lambda: not story.gate.mover.find(story.client.session, "Shop"))
    story.client.send("Shop.who")
    introduction, request = sent_on(story.gate.links.get(backend))
    assert (introduction.kind, request.kind) == (pb.SESSION, pb.REQUEST)
    assert dict(introduction.state.bindings) == {"Shop": backend}
    assert mirror.router.find("Shop") == backend


async def test_a_gate_that_knows_better_ignores_a_binding_and_says_so(
    story: Story,
) -> None:
    backend, mirror = await mirrored(story)
    (other,) = {ONE, TWO} - {backend}
    await story.lose(other)  # the backends still know each other
    with pytest.raises(UsageError, match="serves 'Shop' now"):
        mirror.router.bind("Shop", "10.0.0.77:1")
    mirror.router.bind("Shop", other)
    dropped = story.gate.metrics.dropped
    await until(lambda: dropped["session", "unknown-member"] == 1)
    session = story.client.session
    assert session.router.find("Shop") == backend
    assert session.mirrors[backend] == UNKNOWN_VERSION
    await story.client.request("Shop.who")
    assert mirror.router.find("Shop") == backend  # told again


async def test_a_binding_of_a_session_that_has_gone_is_counted(story: Story) -> None:
    link = story.backends[ONE].links.get(GATE)
    assert link is not None
    link.send(pb.Envelope(kind=pb.BIND, session=12345, service="Shop", member=ONE))
    dropped = story.gate.metrics.dropped
    await until(lambda: dropped["link", "no-session"] == 1)


async def test_a_gate_of_a_version_without_bindings_is_named(story: Story) -> None:
    backend = story.backends[ONE]
    raw = story.network.raw(backend.links)
    theirs = hello("10.0.0.9:1")
    theirs.features.extend([pb.RESPONSE])
    await raw.greet(theirs)
    await until(lambda: backend.links.get(theirs.address))
    await raw.send(pb.Envelope(kind=pb.SESSION, session=5))
    await until(lambda: backend.sessions.get(5))
    mirror = backend.sessions.get(5)
    assert mirror is not None
    with pytest.raises(UsageError, match=r"the gate 10\.0\.0\.9:1 is of a version"):
        mirror.router.bind("Shop", TWO)
    assert mirror.router.find("Shop") is None


async def test_a_node_alone_has_nobody_to_bind_to() -> None:
    router = World().client().session.router
    assert (router.find("Shop"), router.members("Shop")) == (None, [])
    router.unbind("Shop")
    with pytest.raises(UsageError, match="no other node that could serve 'Shop'"):
        router.bind("Shop", ONE)
    assert repr(router).startswith("<Router of <Session ")
