"""A dispatcher with components, and clients that remember what they are told.

A :class:`Client` is a session's real :class:`~nano.runtime.session.Home`, only that
it keeps in lists what a socket would send.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from nano import Component, Delivery, NodeInfo, Session
from nano.metrics import Metrics
from nano.protocol.messages import NOTIFY, REQUEST, Message
from nano.runtime.calls import Calls
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.runtime.filters import Filters
from nano.runtime.sessions import Sessions, new_session_id
from nano.serializers import JsonSerializer

PATIENCE = 5.0  # seconds after which something that should happen does not


class Answer(NamedTuple):
    """What a request came to."""

    value: Any
    failed: bool

    @property
    def status(self) -> int:
        """The status of an error; 200 of a result."""
        return int(self.value["status"]) if self.failed else 200


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds; fail after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it may be about anything
            await asyncio.sleep(0.002)


class Client:
    """One client: speaks by its session, and remembers what it is told."""

    def __init__(self, dispatcher: Dispatcher, number: int = 0) -> None:
        self.answers: dict[int, list[Answer]] = {}
        self.order: list[int] = []  # of the answers
        self.pushes: list[tuple[str, Any]] = []
        self.deliveries: list[Delivery] = []  # of the pushes
        self.kicked = ""
        self.invited = False  # to come back, by the kick
        self.paused = False
        self.pauses = 0
        self.on_resume: Callable[[], None] = lambda: None
        self._dispatcher = dispatcher
        self.deliver = dispatcher.dispatch  # as from a client
        self._numbers = itertools.count(1)
        self.session = Session(
            number or new_session_id(), self, dispatcher.serializer, "192.0.2.1:4321"
        )

    # as a client

    def send(self, route: str, payload: object = None, *, number: int = -1) -> int:
        """Send a request; return its id."""
        if number < 0:
            number = next(self._numbers)
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self.deliver(self.session, Message(REQUEST, number, route, data))
        return number

    def notify(self, route: str, payload: object = None) -> None:
        """Send a notify."""
        data = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        self.deliver(self.session, Message(NOTIFY, 0, route, data))

    async def request(self, route: str, payload: object = None) -> Answer:
        """Send a request and wait for its only answer."""
        number = self.send(route, payload)
        await until(lambda: number in self.answers)
        (answer,) = self.answers[number]
        return answer

    # as the home of its session

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        value = msgspec.json.decode(payload)
        self.answers.setdefault(number, []).append(Answer(value, failed))
        self.order.append(number)

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        self.pushes.append((route, msgspec.json.decode(payload)))
        self.deliveries.append(delivery)

    def kick(self, reason: str, reconnect: bool = False) -> None:
        self.kicked = reason
        self.invited = reconnect

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False
        self.on_resume()

    def changed(self, session: Session) -> None:
        session.version += 1


class World:
    """A dispatcher that serves *components*, and its sessions."""

    def __init__(self, *components: Component, timeout: float = PATIENCE) -> None:
        self.metrics = Metrics()
        self.sessions = Sessions(self.metrics)
        self.dispatcher = Dispatcher(JsonSerializer(), self.metrics, timeout)
        handlers = collect_handlers(components)
        self.dispatcher.add(handlers, Filters(components))
        self.calls = Calls(self.dispatcher)
        self.calls.add(handlers)
        self.info = NodeInfo("a:1", "gate", "", "default/demo", calls=self.calls)
        for component in components:
            component.node = self.info

    def client(self) -> Client:
        """Return a new client with a session."""
        client = Client(self.dispatcher)
        self.sessions.add(client.session)
        return client
