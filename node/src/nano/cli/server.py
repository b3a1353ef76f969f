"""The options of every command that is a client of some server, as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nano.cli.forms import Form, RawWay
    from nano.client import Client
    from nano.serializers import SerializerName

__all__ = ["Server", "form_options", "server_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _json() -> Form:
    from nano.cli.forms import JSON

    return JSON


@dataclass(frozen=True)
class Server:
    """Where a command connects, and how.

    Attributes:
        url: The listener; empty if none is named.
        ca: The authorities to believe; ``None``: the system's.
        timeout: Seconds for the connection, and for each answer.
        user: What the handshake tells the server of who this is.
        form: How payloads are typed and shown.
    """

    url: str
    ca: Path | None
    timeout: float
    user: object
    form: Form = field(default_factory=_json)

    def client(self, kind: type[Client] | None = None) -> Client:
        """Return a client that has yet to be opened."""
        from nano.client import Client

        return (kind or Client)(
            self.url,
            user=self.user,
            timeout=self.timeout,
            request_timeout=self.timeout,
            ca=self.ca,
            serializer=self.form.serializer,
        )

    async def opened(self, client: Client) -> Client:
        """Open *client*, which is one of ours.

        Raises:
            NanoError: The server cannot be had.
            Failed: The same, with what may be the matter.
        """
        from nano.cli.errors import Failed
        from nano.errors import ConnectionClosed

        try:
            return await client.open()
        except TimeoutError:
            text = f"no answer from {self.url} in {self.timeout:g} s"
            raise Failed(text + self._silence()) from None
        except ConnectionClosed as error:
            raise Failed(f"{error}{_doubt(error.__cause__)}") from error

    def _silence(self) -> str:
        """Say why nobody may have answered the handshake."""
        scheme, _, rest = self.url.partition("://")
        match scheme:
            case "tcp":
                return f"; a WebSocket listener is named -s ws://{rest}/"
            case "tls" | "wss":
                plain = {"tls": "tcp", "wss": "ws"}[scheme]
                return f"; a listener without TLS is named -s {plain}://{rest}"
        return ""


def _doubt(cause: BaseException | None) -> str:
    """Say what may be done where there is no connection because of *cause*."""
    from websockets.exceptions import InvalidHandshake

    if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
        return "; is it up? `nanoctl status` shows a cluster of this machine"
    if isinstance(cause, InvalidHandshake):
        return "; `nanoctl status` shows addresses with their paths"
    return ""


_FORM_OPTIONS = (
    click.option(
        "--send",
        multiple=True,
        metavar="[ROUTE=]MODULE:MESSAGE",
        help="With protobuf, what is sent: the class that protoc has made. The "
        "payload is typed in protobuf's JSON. May be given for each route.",
    ),
    click.option(
        "--receive",
        multiple=True,
        metavar="[ROUTE=]MODULE:MESSAGE",
        help="With protobuf, what is answered or pushed; else it is shown in "
        "hexadecimal.",
    ),
    click.option(
        "--raw",
        "way",
        type=click.Choice(["text", "hex", "base64"]),
        help="With raw, how payloads are typed and shown.  [default: text]",
    ),
)


def form_options(command: _Command) -> _Command:
    """Give *command* the arguments send, receive and way: how payloads are written."""
    for option in reversed(_FORM_OPTIONS):
        command = option(command)
    return command


def server_options(*, required: bool = True) -> Callable[[_Command], Any]:
    """Return a decorator that gives a command the argument ``server``.

    Args:
        required: A server has to be named.
    """
    options = (
        click.option(
            "-s",
            "--server",
            metavar="URL|HOST:PORT",
            required=required,
            envvar="NANO_SERVER",
            show_envvar=True,
            help="A listener: ws://host:port/, tcp://host:port, wss:// or tls:// with "
            "TLS, unix:///path, or host:port for TCP.",
        ),
        click.option(
            "--ca",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The authorities to believe under TLS, in PEM; by default the "
            "system's.",
        ),
        click.option("--ws", is_flag=True, help="host:port is a WebSocket listener."),
        click.option(
            "--user",
            metavar="JSON",
            help="What the handshake tells the server of who this is.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0.01, 3600),
            default=10.0,
            show_default=True,
            help="Seconds to wait, for the connection and for an answer.",
        ),
        click.option(
            "--serializer",
            type=click.Choice(["json", "protobuf", "raw"]),
            default="json",
            show_default=True,
            help="How the cluster's payloads are written: spec.settings.serializer of "
            "its manifest.",
        ),
        *_FORM_OPTIONS,
    )

    def decorate(command: _Command) -> Any:
        @functools.wraps(command)
        def called(
            *,
            server: str | None,
            ca: Path | None,
            ws: bool,
            user: str | None,
            timeout: float,
            serializer: SerializerName,
            send: tuple[str, ...],
            receive: tuple[str, ...],
            way: RawWay | None,
            **more: Any,
        ) -> Any:
            from nano.cli.errors import as_sentences
            from nano.cli.forms import form_of
            from nano.cli.values import read_json

            url = server or ""
            if url and "://" not in url:
                url = f"{'ws' if ws else 'tcp'}://{url}"
            with as_sentences():
                known = read_json(user) if user is not None else None
                form = form_of(serializer, send, receive, way)
            return command(server=Server(url, ca, timeout, known, form), **more)

        for option in reversed(options):
            option(called)
        return called

    return decorate
