"""``nanoctl load``: many clients, and how they fare."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nano.cli.errors import as_sentences
from nano.cli.server import Server, server_options

if TYPE_CHECKING:
    from nano.cli.figures import Figures

__all__ = ["load"]


@click.command(
    epilog="""\b
Examples:
  nanoctl load -s ws://127.0.0.1:3250 EchoService.echo '{"text": "hello"}'
  nanoctl load -s 127.0.0.1:3251 --clients 200 --rate 1000 --duration 30 \\
      EchoService.echo '{"text": "hello $n of $client"}'
  nanoctl load -s 127.0.0.1:3251 --json EchoService.echo '{"text": "x"}' > figures.json
\b
Without --rate each client asks again as soon as it is answered: so much can be done.
With it, requests leave when they are due, answered or not, and what they took counts
from then: so long a user waits at that rate.
"""
)
@server_options()
@click.option(
    "--clients",
    type=click.IntRange(1, 20_000),
    default=10,
    show_default=True,
    help="How many connections.",
)
@click.option(
    "--duration",
    type=click.FloatRange(0.1, 86_400),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to ask, once all are connected.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1_000_000),
    default=0.0,
    metavar="NUMBER",
    help="Requests a second, of all clients together; by default as many as are "
    "answered.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.argument("route")
@click.argument("payload", metavar="[PAYLOAD]", default="")
def load(
    server: Server,
    clients: int,
    duration: float,
    rate: float,
    as_json: bool,
    route: str,
    payload: str,
) -> None:
    """Ask ROUTE again and again as many clients, and report how long answers took.

    The payload is JSON, {} by default, unless --serializer says otherwise. In it $n is
    the number of the request, $client that of the client, and $$ a dollar sign.

    It loads whichever server you name: name one that is yours. The exit code is 1 if
    anything was not answered, or with an error. The report says so where this program
    was slower than the server may be.
    """
    with as_sentences():
        import msgspec
        import uvloop

        from nano.cli.crowd import Load, run_load

        wanted = Load(clients, duration, rate, route, payload, server.form)
        figures = uvloop.run(run_load(server, wanted, _progress))
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    if as_json:
        click.echo(msgspec.json.encode(figures.as_json()))
    else:
        click.echo("\n".join(figures.lines()))
    if figures.failed:
        raise SystemExit(1)


def _progress(figures: Figures) -> None:
    """Show how far it is, to who sits before it."""
    if sys.stderr.isatty():
        text = (
            f"\r\033[K{figures.seconds:.0f} s: {figures.sent} sent, "
            f"{figures.answers.total()} answered, {figures.failures.total()} failed"
        )
        click.echo(text, nl=False, err=True)
