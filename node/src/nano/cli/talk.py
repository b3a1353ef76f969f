"""One connection by hand: lines in, answers and pushes out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import click

from nano.cli.errors import Failed
from nano.cli.server import Server
from nano.cli.words import HELP, completions, read_line
from nano.client import Client
from nano.errors import ConnectionClosed, NanoError
from nano.protocol.messages import Message

__all__ = ["Talk", "by_hand", "do_lines"]

MOST_KEPT: Final = 1000  # pushes that nobody has waited for; the oldest go first


class Talk:
    """One connection, and what is said on it.

    Attributes:
        client: The connection.
        server: Where it leads.
        routes: Those that are known, or were used.
        show: Where answers and pushes go, a line each.
    """

    def __init__(self, server: Server, routes: Iterable[str]) -> None:
        talk = self

        class Watching(Client):
            """A client that shows every push, whatever its route."""

            def pushed(self, message: Message) -> None:
                """Take a push."""
                talk.came(message.route, message.payload)
                super().pushed(message)

        self.client: Client = server.client(Watching)
        self.server = server
        self._form = server.form
        self.routes = set(routes)
        self.show: Callable[[str], object] = click.echo
        self._kept: deque[str] = deque(maxlen=MOST_KEPT)  # routes of pushes, in order
        self._more = asyncio.Event()

    def came(self, route: str, payload: bytes) -> None:
        """Show a push, and keep it for who waits."""
        self.show(f"< {route} {self._form.show(route, payload)}")
        self._kept.append(route)
        self._more.set()

    async def do(self, text: str) -> bool:
        """Do what a line says; false if it was the last.

        Raises:
            NanoError: It makes no sense, or the server refuses.
            TimeoutError: Nothing came in time.
        """
        line = read_line(text)
        match line.verb:
            case "request":
                self.routes.add(line.route)
                body = self._form.read(line.route, line.payload)
                answer = await self.client.request(line.route, body, wanted=bytes)
                self.show(self._form.show(line.route, answer))
            case "notify":
                self.routes.add(line.route)
                body = self._form.read(line.route, line.payload)
                await self.client.notify(line.route, body)
            case "wait":
                async with asyncio.timeout(line.seconds):
                    await self._wait(line.route)
            case "routes":
                for route in sorted(self.routes):
                    self.show(f"  {route}")
            case "help":
                self.show(HELP)
        return line.verb != "quit"

    async def _wait(self, route: str) -> None:
        while route not in self._kept:
            self._more.clear()
            await self._more.wait()
        self._kept.remove(route)


async def do_lines(talk: Talk, lines: Iterable[str]) -> None:
    """Do one line after the other.

    Raises:
        NanoError: One of them makes no sense, or was refused; the rest is not done.
        Failed: Nothing came in time, or the server cannot be reached.
    """
    rest = iter(lines)
    async with await talk.server.opened(talk.client):
        # in a thread: who writes the lines may take his time, and pushes come meanwhile
        while (line := await asyncio.to_thread(next, rest, None)) is not None:
            try:
                if not await talk.do(line):
                    return
            except TimeoutError:
                raise Failed(f"{line.strip()}: nothing came in time") from None


async def by_hand(talk: Talk) -> None:
    """Do what is typed, until the end of the input.

    Raises:
        NanoError: The server refuses.
        Failed: It cannot be reached, or the connection is over.
    """
    async with await talk.server.opened(talk.client):
        talk.show("connected; help says what can be typed")
        async for text in _typed(talk):
            try:
                if not await talk.do(text):
                    return
            except ConnectionClosed as error:
                raise Failed(f"the connection is over: {error}") from error
            except NanoError as error:
                talk.show(f"! {error}")
            except TimeoutError:
                talk.show("! nothing came in time")


async def _typed(talk: Talk) -> AsyncIterator[str]:
    """Yield lines from the terminal; pushes are shown above the one being typed."""
    # here, as scripts do without
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.patch_stdout import patch_stdout

    class Routes(Completer):
        """Completes what the cursor stands behind."""

        def get_completions(
            self, document: Document, complete_event: CompleteEvent
        ) -> Iterable[Completion]:
            """Yield what the word may become."""
            text = document.text_before_cursor
            for found in completions(text, talk.routes):
                yield Completion(found, start_position=-len(text.split(" ")[-1]))

    session: PromptSession[str] = PromptSession(
        "nano> ", completer=Routes(), complete_while_typing=False
    )
    with patch_stdout():
        while True:
            try:
                yield await session.prompt_async()
            except (EOFError, KeyboardInterrupt):
                return
