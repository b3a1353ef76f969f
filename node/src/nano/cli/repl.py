"""``nanoctl repl`` and ``nanoctl notify``: speak to a server by hand, or by script."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nano.cli.errors import Failed, Wrong, as_sentences
from nano.cli.server import Server, server_options

if TYPE_CHECKING:
    from nano_manifest import NanoCluster

__all__ = ["notify", "repl"]

DEFAULT_MANIFEST: Final = Path("cluster.yaml")


@click.command(
    epilog="""\b
Examples:
  nanoctl notify -s ws://127.0.0.1:3250 EchoService.shout '{"text": "hello"}'
  nanoctl notify -s 127.0.0.1:3251 --watch 2 EchoService.shout '{"text": "hello"}'
"""
)
@server_options()
@click.option(
    "--watch",
    type=click.FloatRange(0, 3600),
    default=0.0,
    show_default=True,
    help="Seconds to stay afterwards and show the pushes that come.",
)
@click.argument("route")
@click.argument("payload", metavar="[PAYLOAD]", default="")
def notify(server: Server, watch: float, route: str, payload: str) -> None:
    """Send one notify as a client, to which there is no answer.

    PAYLOAD is JSON, {} by default, unless --serializer says otherwise.
    """
    with as_sentences():
        body = server.form.read(route, payload)
        asyncio.run(_tell(server, watch, route, body))


async def _tell(server: Server, watch: float, route: str, body: bytes) -> None:
    from nano.cli.talk import Talk

    talk = Talk(server, ())
    async with await server.opened(talk.client):
        await talk.client.notify(route, body)
        try:
            async with asyncio.timeout(watch):
                await talk.client.wait_closed()
        except TimeoutError:
            return
        raise Failed(f"the server has closed: {talk.client.closed}")


@click.command(
    epilog="""\b
Examples:
  nanoctl repl -f cluster.yaml                   a cluster of `nanoctl up`
  nanoctl repl -s wss://chat.example.org/
  nanoctl repl -s 127.0.0.1:3251 -c 'EchoService.echo {"text": "hello"}'
  nanoctl repl -s 127.0.0.1:3251 script.txt      a command a line; the first that fails
  nanoctl repl -s 127.0.0.1:3251 < script.txt    ends it, with exit code 1
\b
A script that logs in, says something and waits for it to come back:
  RoomService.join {"name": "ann"}
  notify RoomService.say {"text": "hello"}
  wait onMessage 5
"""
)
@server_options(required=False)
@click.option(
    "-f",
    "--file",
    "manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The manifest of a cluster on this machine: its first listener is the server "
    "unless one is given, and the routes of its components are completed. It imports "
    "them. By default cluster.yaml here, if no server is given.",
)
@click.option(
    "-c",
    "--command",
    "commands",
    multiple=True,
    metavar="LINE",
    help="Do this and end; may be given several times.",
)
@click.argument(
    "script", required=False, type=click.Path(dir_okay=False, path_type=Path)
)
def repl(
    server: Server,
    manifest: Path | None,
    commands: tuple[str, ...],
    script: Path | None,
) -> None:
    """Speak to a server: ask, tell, and see what it pushes.

    In a terminal, Tab completes routes: those of the manifest's components, and those
    used before. Without one, lines are read from SCRIPT or standard input.
    """
    if commands and script is not None:
        raise Wrong("-c and SCRIPT exclude each other")
    routes: list[str] = []
    if manifest is None and not server.url and DEFAULT_MANIFEST.exists():
        manifest = DEFAULT_MANIFEST
    with as_sentences():
        if manifest is not None:
            from nano_manifest import load

            cluster = load(manifest)
            theirs = cluster.spec.settings.serializer
            if theirs != server.form.serializer:
                raise Wrong(
                    f"the cluster's payloads are {theirs}: --serializer {theirs}"
                )
            routes = _routes(cluster, manifest.resolve().parent)
            if not server.url:
                server = _of(cluster, server, manifest.resolve().parent)
        if not server.url:
            raise Wrong("name a server: -s URL, or -f with a manifest")
        from nano.cli.talk import Talk, by_hand, do_lines

        talk = Talk(server, routes)
        if commands or script is not None or not sys.stdin.isatty():
            lines = list(commands) if commands else _lines(script)
            asyncio.run(do_lines(talk, lines))
        else:
            asyncio.run(by_hand(talk))


def _lines(script: Path | None) -> Iterable[str]:
    if script is None:
        return sys.stdin
    try:
        return script.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{script}: cannot be read: {error}") from error


def _of(cluster: NanoCluster, server: Server, folder: Path) -> Server:
    """Return *server* at the first listener of *cluster* on this machine."""
    from dataclasses import replace

    if not cluster.spec.gates.listeners:
        raise Wrong("the manifest has no listeners; name a server with -s")
    item = cluster.spec.gates.listeners[0]
    if item.port is None:
        return replace(server, url=f"unix://{folder / item.socket}")
    return replace(server, url=item.url("127.0.0.1"))


def _routes(cluster: NanoCluster, folder: Path) -> list[str]:
    """Return what clients can ask of the components that *cluster* names."""
    from nano.runtime.component import collect_handlers
    from nano.runtime.info import NodeInfo
    from nano.runtime.loading import load_components

    spec = cluster.spec
    kinds = [spec.gates.components, *(it.components for it in spec.backends)]
    info = NodeInfo("repl", "gate", "", cluster.metadata.name)
    routes: set[str] = set()
    for names in kinds:
        handlers = collect_handlers(load_components(names, info, str(folder)))
        routes.update(it.route for it in handlers if not it.internal)
    return sorted(routes)
