"""Reading classes: which methods are handlers, and which classes are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nano import Component, Session, handler
from nano.errors import UsageError
from nano.metrics import Metrics
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.serializers import JsonSerializer

# hints of methods are resolved among the names of the module
from .clients import World


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


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (Empty, "Empty has no handler; mark methods with @handler"),
        (TooFew, "TooFew.join takes 1 parameters besides self; a handler takes two"),
        (TooMany, "TooMany.join takes 3 parameters besides self; a handler takes two"),
        (KeywordOnly, "KeywordOnly.join takes payload by name only"),
        (Unresolvable, "Unresolvable.join: its annotations cannot be resolved: name"),
        (Twice, "two handlers have the route Twice.join; rename one"),
        (LongName, "has more than 255 bytes"),
    ],
)
def test_a_wrong_component_is_refused_with_the_cure(
    component: type[Component], text: str
) -> None:
    with pytest.raises(UsageError) as refused:
        collect_handlers([component()])
    assert text in str(refused.value)


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
