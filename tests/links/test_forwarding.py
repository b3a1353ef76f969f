"""Gate and backend over links in memory: messages find their way and bindings."""

from __future__ import annotations

from collections import Counter

from nano.protocol.packets import LARGEST_BODY
from nano.runtime.component import collect_handlers
from tests.runtime.clients import Answer, Client

from .nodes import ONE, TWO, Shop, Story
from .peers import member, until


async def test_a_request_is_answered_by_a_backend(story: Story) -> None:
    assert await story.client.request("Shop.who") in {(ONE, False), (TWO, False)}
    counts = story.gate.metrics.route("Shop.who")
    assert (counts.requests, counts.responses, counts.notifies) == (1, 1, 0)
    assert not story.gate.forwarder.pending


async def test_an_error_of_the_backend_reaches_the_client(story: Story) -> None:
    answer = await story.client.request("Shop.refuse")
    body = {"code": "NANO-402", "msg": "no money", "status": 402}
    assert answer == (body, True)


async def test_a_wrong_payload_is_answered_by_the_backend_400(story: Story) -> None:
    assert (await story.client.request("Shop.push", "many")).status == 400


async def test_a_notify_reaches_the_backend_and_pushes_come_back_in_order(
    story: Story,
) -> None:
    story.client.notify("Shop.push", 100)
    await until(lambda: len(story.client.pushes) == 100)
    assert story.client.pushes == [("onNews", number) for number in range(100)]
    assert story.client.answers == {}


async def test_a_push_and_an_answer_keep_their_order(story: Story) -> None:
    story.client.send("Shop.push", 2)
    await until(lambda: story.client.answers)
    assert len(story.client.pushes) == 2  # they were there first
    assert story.client.answers[1] == [
        Answer(
            {"code": "NANO-500", "msg": "Shop.push answered nothing", "status": 500},
            True,
        )
    ]


async def test_a_backend_knows_where_the_client_comes_from(story: Story) -> None:
    assert (await story.client.request("Shop.where")).value == "192.0.2.1:4321"


async def test_a_backend_sends_a_client_away(story: Story) -> None:
    await story.client.request("Shop.kick")
    assert (story.client.kicked, story.client.invited) == ("not here", False)


async def test_a_backend_may_ask_a_client_to_come_back(story: Story) -> None:
    await story.client.request("Shop.kick", "for now")
    assert (story.client.kicked, story.client.invited) == ("not here", True)


async def test_an_unknown_route_of_a_remote_service_is_answered_404(
    story: Story,
) -> None:
    assert (await story.client.request("Shop.nothing")).status == 404


async def test_a_route_that_the_gate_serves_is_not_forwarded() -> None:
    story = Story()
    story.gate.dispatcher.add(collect_handlers([Shop("the gate itself")]))
    await story.start()
    assert {await story.bound(story.gate.client()) for _ in range(20)} == {
        "the gate itself"
    }
    await story.stop()


async def test_an_answer_too_long_for_a_client_becomes_a_500(story: Story) -> None:
    answer = await story.client.request("Shop.huge", LARGEST_BODY + 1)
    assert answer.status == 500
    answer = await story.client.request("Shop.huge", 2 << 20)
    assert len(answer.value) == (2 << 20) - 2
    assert len(story.gate.links.open) == 2


async def test_a_push_too_long_for_a_client_fails_where_it_is_made(
    story: Story,
) -> None:
    answer = await story.client.request("Shop.huge_push", LARGEST_BODY)
    assert answer.status == 500
    assert story.client.pushes == []


async def test_the_largest_request_does_not_stop_the_next_one(story: Story) -> None:
    backend = await story.bound(story.client)
    payload = b'"' + b"x" * (LARGEST_BODY - 2) + b'"'
    story.client.notify("Shop.where", payload)
    assert (await story.client.request("Shop.who")).value == backend
    assert not story.gate.metrics.dropped


# -------------------------------------------------------------------- bindings


async def test_a_client_stays_with_its_backend_and_both_are_used(story: Story) -> None:
    served: Counter[str] = Counter()
    for _ in range(40):
        client = story.gate.client()
        first = await story.bound(client)
        assert {await story.bound(client) for _ in range(3)} == {first}
        assert client.session.bindings == {"Shop": first}
        served[first] += 1
    assert set(served) == {ONE, TWO}


async def test_a_binding_to_a_lost_backend_is_dissolved(story: Story) -> None:
    lost = await story.bound(story.client)
    await story.lose(lost)
    assert story.client.session.bindings == {}
    assert story.client.session.mirrors == {}
    other = await story.bound(story.client)
    assert {lost, other} == {ONE, TWO}
    assert story.client.session.bindings == {"Shop": other}


async def test_with_no_backend_left_a_request_is_answered_503_until_one_comes(
    story: Story,
) -> None:
    for address in (ONE, TWO):
        await story.lose(address)
    answer = await story.client.request("Shop.who")
    assert answer.status == 503
    assert "Shop is not served by any node now" in answer.value["msg"]
    story.client.notify("Shop.who")
    assert story.gate.metrics.dropped["forward", "no-member"] == 2
    story.gate.links.add(member(ONE))
    await until(lambda: story.gate.links.get(ONE))
    assert await story.bound(story.client) == ONE


async def test_what_a_lost_backend_owed_is_answered_503_and_nothing_else_is(
    story: Story,
) -> None:
    clients: dict[str, Client] = {}
    while len(clients) < 2:
        client = story.gate.client()
        clients[await story.bound(client)] = client
    pending = {address: c.send("Shop.wait") for address, c in clients.items()}
    await until(lambda: all(n.dispatcher.tasks for n in story.backends.values()))
    await story.lose(ONE)
    (answer,) = clients[ONE].answers[pending[ONE]]
    assert answer.status == 503
    assert pending[TWO] not in clients[TWO].answers
    story.shops[TWO].free.set()
    await until(lambda: pending[TWO] in clients[TWO].answers)
    assert clients[TWO].answers[pending[TWO]] == [Answer(TWO, False)]


async def test_messages_held_back_for_a_lost_backend_go_to_another(
    story: Story,
) -> None:
    first = await story.bound(story.client)
    story.client.session.hold(first)
    story.client.on_resume = lambda: setattr(
        story.client, "late", story.client.send("Shop.who")
    )
    await story.lose(first)
    assert not story.client.paused
    await until(lambda: story.client.order[1:])
    ((answer,),) = [story.client.answers[n] for n in story.client.order[1:]]
    assert {answer.value, first} == {ONE, TWO}
