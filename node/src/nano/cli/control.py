"""``nanoctl control``: ask a node's control port, from beside the node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import click

from nano.cli.errors import Failed, as_sentences

__all__ = ["control"]

SECONDS: Final = 10.0
METHODS: Final = ("GET", "POST", "PUT", "DELETE")


@click.command(
    epilog="""\b
Examples:
  nanoctl control /status
  nanoctl control /sessions?limit=10
  nanoctl control -X DELETE /sessions/5174 '{"reason": "enough"}'
  kubectl exec deployment/chat-gate -- nanoctl control /status
"""
)
@click.option(
    "-X",
    "--method",
    type=click.Choice(METHODS, case_sensitive=False),
    default="GET",
    show_default=True,
    help="What to do with it.",
)
@click.option(
    "--control",
    "address",
    envvar="NANO_CONTROL",
    show_envvar=True,
    required=True,
    metavar="HOST:PORT|unix:PATH",
    help="Where the node listens. In its pod, and in its environment, this is set.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="NANO_TOKEN_FILE",
    show_envvar=True,
    help="File with the token; none is needed for unix:PATH.",
)
@click.argument("path")
@click.argument("body", metavar="[JSON]", required=False)
def control(
    method: str, address: str, token_file: Path | None, path: str, body: str | None
) -> None:
    """Ask a node's control port for PATH, and print the answer as JSON.

    docs/control.md lists the paths. The exit status is 1 if the node refuses.
    """
    with as_sentences():
        from nano.admin.asking import UNIX
        from nano.cli.values import read_json, read_token

        document = read_json(body) if body else None
        if address.startswith("/"):  # as `nanoctl up` shows it
            address = f"{UNIX}{address}"
        token = None if address.startswith(UNIX) else read_token(token_file)
        status, said = asyncio.run(
            _ask(method.upper(), address, f"/{path.lstrip('/')}", document, token)
        )
        if status >= 400:
            raise Failed(f"{method.upper()} {path}: {status}: {said.strip()}")
        click.echo(said.rstrip("\n"))


def _reason(error: Exception) -> str:
    """Say what *error* is; aiohttp would name the address once more."""
    inner = getattr(error, "os_error", error)
    if not isinstance(inner, OSError) or not inner.errno:
        return str(error)
    # negative: a name that cannot be resolved
    return os.strerror(inner.errno) if inner.errno > 0 else str(inner.strerror)


async def _ask(
    method: str, address: str, path: str, document: object, token: str | None
) -> tuple[int, str]:
    """Return the status and the body of the answer.

    Raises:
        Failed: Nobody answers.
    """
    import aiohttp

    from nano.admin.asking import way_to
    from nano.admin.control import TOKEN_HEADER

    connector, base = way_to(address)
    headers = {TOKEN_HEADER: token} if token else {}
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(
                method, f"{base}{path}", json=document, headers=headers
            ) as answer,
        ):
            return answer.status, await answer.text()
    except TimeoutError:
        problem = f"{address} did not answer within {SECONDS:.0f} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        problem = f"nobody to ask at {address}: {_reason(error)}"
    raise Failed(problem)
