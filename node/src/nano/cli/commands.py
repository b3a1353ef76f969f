"""What a person runs: a whole cluster, one request, a look at a manifest."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nano.cli.errors import Failed, Wrong, as_sentences
from nano.cli.running import run_options, there
from nano.cli.server import Server, form_options, server_options

if TYPE_CHECKING:
    from nano.cli.forms import RawWay

__all__ = ["check", "crd", "request", "up"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  nanoctl up -f examples/echo/cluster.yaml
  nanoctl up -d
  nanoctl up -f cluster.yaml --try EchoService.echo '{"text": "hello"}'
  nanoctl up --send chat_pb2:Hello --receive chat_pb2:Room \\
      --try RoomService.join '{"name": "ann"}'
"""
)
@run_options
@click.option(
    "-d",
    "--detach",
    is_flag=True,
    help="Return when all is ready, and let it run on; `nanoctl down` stops it.",
)
@click.option(
    "--try",
    "first",
    nargs=2,
    metavar="ROUTE PAYLOAD",
    help="Send a first request when all is ready, and show its answer. The payload is "
    "typed as for `nanoctl request`, by the cluster's serializer.",
)
@form_options
def up(
    manifest: Path,
    detach: bool,
    single: bool,
    host: str,
    tls_dir: Path | None,
    first: tuple[str, str] | None,
    send: tuple[str, ...],
    receive: tuple[str, ...],
    way: RawWay | None,
) -> None:
    """Run a whole cluster on this machine: a process for each replica.

    Ctrl-C stops all of them, gates first. What dies is started again. Images,
    resources and templates of the manifest mean nothing here. Meanwhile `nanoctl
    status`, `logs`, `reload` and `down` work from any terminal.
    """
    if detach and first:
        text = "--detach and --try exclude each other; send it by `nanoctl request`"
        raise Wrong(text)
    if first is None and (send or receive or way):
        raise Wrong("--send, --receive and --raw say how the payload of --try is typed")
    with as_sentences():
        from nano_manifest import load_with_sources

        cluster, sources = load_with_sources(there(manifest))
        folder = tls_dir.resolve() if tls_dir else None
        if detach:
            from nano.cli.local import ready_summary
            from nano.local.remote import detach as start_detached

            words = ["--host", host]
            words += ["--tls-dir", str(folder)] if folder else []
            words += ["--single"] if single else []
            told = start_detached(manifest, cluster.metadata.name, words)
            ready_summary(told)
            return
        from nano.cli.forms import form_of
        from nano.local.supervisor import First, Run
        from nano.local.supervisor import up as start

        message = None
        if first is not None:
            route, typed = first
            kind, beside = cluster.spec.settings.serializer, manifest.resolve().parent
            form = form_of(kind, send, receive, way, beside)
            show = functools.partial(form.show, route)
            message = First(route, form.read(route, typed), show)
        start(
            Run(
                manifest=manifest,
                cluster=cluster,
                sources=sources,
                host=host,
                tls_dir=folder,
                first=message,
                single=single,
            )
        )


@click.command(
    epilog="""\b
Examples:
  nanoctl request -s ws://127.0.0.1:3250 EchoService.echo '{"text": "hello"}'
  nanoctl request -s 127.0.0.1:3251 EchoService.echo '{"text": "hello"}'
  nanoctl request -s 127.0.0.1:3251 --serializer protobuf --send chat_pb2:Hello \\
      --receive chat_pb2:Room RoomService.join '{"name": "ann"}'
  nanoctl request -s 127.0.0.1:3251 --serializer raw --raw hex EchoService.echo 'ff 00'
"""
)
@server_options()
@click.argument("route")
@click.argument("payload", metavar="[PAYLOAD]", default="")
def request(server: Server, route: str, payload: str) -> None:
    """Send one request as a client, and print the answer.

    PAYLOAD is JSON, {} by default, unless --serializer says otherwise.
    """
    import asyncio

    with as_sentences():
        body = server.form.read(route, payload)
        try:
            answer = asyncio.run(_ask(server, route, body))
        except TimeoutError:
            message = f"no answer from {server.url} in {server.timeout:g} s"
            raise Failed(message) from None
    click.echo(server.form.show(route, answer))


async def _ask(server: Server, route: str, body: bytes) -> bytes:
    async with await server.opened(server.client()) as client:
        answer: bytes = await client.request(route, body, wanted=bytes)
        return answer


@click.command()
@click.argument("file", type=_FILE, default="cluster.yaml")
def check(file: Path) -> None:
    """Say whether FILE is a good manifest, and what is wrong with it.

    By default it is cluster.yaml.
    """
    with as_sentences():
        from nano_manifest import load

        cluster = load(file)
    spec = cluster.spec
    listeners = spec.gates.listeners
    ways = ", ".join(f"{item.name} on {item.port or item.socket}" for item in listeners)
    click.echo(f"{cluster.metadata.namespace}/{cluster.metadata.name} is good:")
    click.echo("  master: 1")
    each = spec.gates.processes
    several = f" of {each} processes each" if each > 1 else ""
    click.echo(f"  gates: {spec.gates.replicas}{several}, listening as {ways}")
    for item in spec.backends:
        runs = ", ".join(item.components)
        click.echo(f"  backend {item.name}: {item.replicas}, running {runs}")


@click.command()
def crd() -> None:
    """Print the CustomResourceDefinition of NanoCluster as YAML."""
    import yaml

    from nano_manifest import crd as definition

    click.echo("# Made by `nanoctl crd` from the types of nano_manifest.")
    click.echo(yaml.safe_dump(definition(), sort_keys=False, width=100), nl=False)
