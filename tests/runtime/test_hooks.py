"""Components are told of sessions that begin and end."""

from __future__ import annotations

import pytest

from nano import Component, Session, handler
from nano.errors import UsageError
from nano.runtime.component import collect_handlers
from nano.runtime.sessions import Sessions, tell_components

from .clients import World


class Watcher(Component):
    def __init__(self, name: str, log: list[tuple[str, str, int]]) -> None:
        self.name = name
        self.log = log
        self.fails = False

    def session_opened(self, session: Session) -> None:
        self.log.append((self.name, "opened", session.id))
        session.local["seen"] = True
        if self.fails:
            raise LookupError(self.name)

    def session_closed(self, session: Session) -> None:
        self.log.append((self.name, session.closed, session.id))
        assert session.local["seen"]
        if self.fails:
            raise LookupError(self.name)


def test_components_are_told_of_the_beginning_and_the_end() -> None:
    log: list[tuple[str, str, int]] = []
    world = World()
    tell_components([Watcher("a", log), Watcher("b", log)], world.sessions)
    session = world.client().session
    assert log == [("a", "opened", session.id), ("b", "opened", session.id)]
    log.clear()
    world.sessions.close(session, "client-closed")
    world.sessions.close(session, "again")
    assert log == [
        ("a", "client-closed", session.id),
        ("b", "client-closed", session.id),
    ]


def test_a_hook_that_fails_keeps_no_other_from_its_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[tuple[str, str, int]] = []
    world = World()
    first, second = Watcher("a", log), Watcher("b", log)
    first.fails = True
    tell_components([first, second], world.sessions)
    session = world.client().session
    world.sessions.close(session, "bye")
    assert [(name, what) for name, what, _ in log] == [
        ("a", "opened"),
        ("b", "opened"),
        ("a", "bye"),
        ("b", "bye"),
    ]
    assert caplog.text.count("LookupError: a") == 2


def test_hooks_of_the_wrong_kind_are_refused() -> None:
    class Marked(Component):
        @handler
        def session_opened(self, session: Session) -> None: ...

    class Slow(Component):
        async def session_closed(  # type: ignore[override]
            self, session: Session
        ) -> None: ...

    with pytest.raises(UsageError, match=r"Marked.session_opened cannot be a handler"):
        tell_components([Marked()], Sessions())
    with pytest.raises(UsageError, match=r"Slow.session_closed .* make it a plain def"):
        tell_components([Slow()], Sessions())


def test_a_component_that_only_watches_needs_no_handler() -> None:
    assert collect_handlers([Watcher("a", [])]) == []
