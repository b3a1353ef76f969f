"""Reading classes: which methods are handlers, and which classes are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from nano import Component, Session, handler
from nano.errors import UsageError
from nano.metrics import Metrics
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.serializers import JsonSerializer

# hints of methods are resolved among the names of the module
from .clients import World

if TYPE_CHECKING:
    from nano import Session as OnlyForTypes


class Base(Component):
    @handler
    def inherited(self, session: Session, payload: Any) -> str:
        return "inherited"


class Room(Base):
    @handler
    def join(self, session: Session, payload: dict[str, str]) -> str:
        return "joined"

    @handler("Leave")
    async def leave(self, session: Session, payload: None) -> None: ...

    def helper(self, session: Session, payload: None) -> None: ...

    @handler
    def untyped(self, session, payload):  # type: ignore[no-untyped-def]
        return payload


class Renamed(Room):
    service = "chat.room"


def routes_of(component: Component) -> dict[str, Any]:
    return {item.route: item for item in collect_handlers([component])}


def test_marked_methods_are_handlers_and_others_are_not() -> None:
    routes = routes_of(Room())
    assert set(routes) == {"Room.join", "Room.Leave", "Room.inherited", "Room.untyped"}


def test_a_handler_knows_its_type_and_kind() -> None:
    routes = routes_of(Room())
    assert routes["Room.join"].payload == dict[str, str]
    assert not routes["Room.join"].is_async
    assert routes["Room.Leave"].is_async
    assert routes["Room.untyped"].payload is Any


def test_a_service_may_have_another_name_and_ends_at_the_last_dot() -> None:
    routes = routes_of(Renamed())
    assert routes["chat.room.join"].service == "chat.room"


def test_the_function_is_bound_to_its_component() -> None:
    room = Room()
    assert routes_of(room)["Room.join"].function.__self__ is room


class Empty(Component):
    def join(self, session: Session, payload: None) -> None: ...


class TooFew(Component):
    @handler
    def join(self, session: Session) -> None: ...


class TooMany(Component):
    @handler
    def join(self, session: Session, payload: None, more: int) -> None: ...


class KeywordOnly(Component):
    @handler
    def join(self, session: Session, *, payload: None) -> None: ...


class Unresolvable(Component):
    @handler
    def join(self, session: Session, payload: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Twice(Component):
    @handler
    def join(self, session: Session, payload: None) -> None: ...

    @handler("join")
    def other(self, session: Session, payload: None) -> None: ...


class LongName(Component):
    service = "é" * 127

    @handler
    def join(self, session: Session, payload: None) -> None: ...


class NoText(Component):
    @handler("\udc00")
    def join(self, session: Session, payload: None) -> None: ...


class Nameless(Component):
    def name_func(self, name: str) -> str:
        return ""

    @handler
    def join(self, session: Session, payload: None) -> None: ...


class Yielding(Component):
    @handler
    def join(self, session: Session, payload: None) -> Iterator[int]:
        yield 1


class YieldingAsync(Component):
    @handler
    async def join(self, session: Session, payload: None) -> AsyncIterator[int]:
        yield 1


class InternalTooMany(Component):
    @handler(internal=True)
    def join(self, session: Session, payload: None, more: int) -> None: ...


class InternalTooFew(Component):
    @handler(internal=True)
    def join(self) -> None: ...


def test_a_component_may_do_its_work_by_timers_alone() -> None:
    class Clockwork(Component):
        async def started(self) -> None: ...

    assert collect_handlers([Clockwork()]) == []


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (Empty, "Empty has no handler; mark methods with @handler"),
        (TooFew, "TooFew.join takes 1 parameters besides self; a handler takes two"),
        (TooMany, "TooMany.join takes 3 parameters besides self; a handler takes two"),
        (KeywordOnly, "KeywordOnly.join takes payload by name only"),
        (Unresolvable, "the annotation of payload cannot be resolved: name 'Missing'"),
        (Twice, "two handlers have the route Twice.join; rename one"),
        (LongName, "has more than 255 bytes"),
        (NoText, r"the route 'NoText.\udc00' is no text in UTF-8"),
        (Nameless, "a handler of Nameless has no name for its route to end in"),
        (Yielding, "Yielding.join yields; a handler returns one value, the answer"),
        (YieldingAsync, "YieldingAsync.join yields; a handler returns one value"),
        (InternalTooMany, "an internal handler takes the payload, and the session in"),
        (InternalTooFew, "InternalTooFew.join takes 0 parameters besides self"),
    ],
)
def test_a_wrong_component_is_refused_with_the_cure(
    component: type[Component], text: str
) -> None:
    with pytest.raises(UsageError) as refused:
        collect_handlers([component()])
    assert text in str(refused.value)


class Pascal(Component):
    def name_func(self, name: str) -> str:
        return name.title().replace("_", "")

    @handler
    def join_room(self, session: Session, payload: None) -> None: ...

    @handler("leave")
    def leave_room(self, session: Session, payload: None) -> None: ...

    @handler()
    @staticmethod
    def look(session: Session, payload: None) -> None: ...

    @handler
    @classmethod
    def cry(cls, session: Session, payload: None) -> None: ...


def test_a_service_may_name_its_routes_in_another_manner() -> None:
    routes = routes_of(Pascal())
    assert set(routes) == {
        "Pascal.JoinRoom",
        "Pascal.leave",
        "Pascal.Look",
        "Pascal.Cry",
    }


class Inner(Component):
    """Which sessions internal and public handlers take."""

    @handler(internal=True)
    def alone(self, payload: dict[str, int]) -> None: ...

    @handler("renamed", internal=True)
    async def either(self, session: Session | None, payload: int) -> None: ...

    @handler(internal=True)
    def must(self, session: Session, payload: int) -> None: ...

    @handler(internal=True)
    def untyped(self, session, payload):  # type: ignore[no-untyped-def]
        return payload

    @handler
    def both(self, session: Session | None, payload: int) -> None: ...

    @handler
    def client(self, session: Session, payload: int) -> None: ...

    @handler
    def guarded(self, session: OnlyForTypes, payload: int) -> None: ...


def test_a_handler_says_for_whom_it_is_and_whether_it_needs_a_session() -> None:
    routes = routes_of(Inner())
    assert {
        name: (item.internal, item.needs_session) for name, item in routes.items()
    } == {
        "Inner.alone": (True, False),
        "Inner.renamed": (True, False),
        "Inner.must": (True, True),
        "Inner.untyped": (True, False),
        "Inner.both": (False, False),
        "Inner.client": (False, True),
        "Inner.guarded": (False, True),
    }
    assert routes["Inner.alone"].payload == dict[str, int]
    assert routes["Inner.renamed"].is_async


class Small(Component):
    @handler
    def join(
        self, session: Session, payload: Annotated[int, msgspec.Meta(ge=1, le=3)]
    ) -> int:
        return payload


async def test_limits_in_an_annotation_hold() -> None:
    client = World(Small()).client()
    assert (await client.request("Small.join", 3)).value == 3
    refusal = await client.request("Small.join", 4)
    assert (refusal.status, "<= 3" in refusal.value["msg"]) == (400, True)


class Silent(Base):
    def inherited(self, session: Session, payload: Any) -> str:
        return "not marked"


class Without(Base):
    inherited = None  # type: ignore[assignment]

    @handler
    def other(self, session: Session, payload: Any) -> str:
        return "other"


def test_a_method_does_not_take_a_handlers_route_away_by_mistake() -> None:
    with pytest.raises(UsageError, match=r"Silent\.inherited replaces a handler"):
        collect_handlers([Silent()])
    assert set(routes_of(Without())) == {"Without.other"}


def test_two_components_may_not_share_a_route() -> None:
    with pytest.raises(UsageError, match=r"the route Room\.inherited; rename"):
        collect_handlers([Room(), Room()])


@dataclass
class Plain:
    number: int


class Odd:
    """Nothing that JSON could be turned into."""


class AmbiguousUnion(Component):
    @handler
    def join(self, session: Session, payload: Odd | int) -> None: ...


def test_a_payload_type_that_cannot_be_decoded_is_refused_when_it_is_added() -> None:
    handlers = collect_handlers([AmbiguousUnion()])
    dispatcher = Dispatcher(JsonSerializer(), Metrics(), 1.0)
    with pytest.raises(UsageError, match=r"AmbiguousUnion\.join: cannot decode"):
        dispatcher.add(handlers)


async def test_hooks_of_a_component_may_be_left_out() -> None:
    room = Room()
    for hook in (room.start, room.started, room.stopping, room.stop):
        await hook()
    assert World(room).dispatcher.local
