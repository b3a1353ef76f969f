"""``nanoctl``: every command that a person, a Makefile or a pod runs.

Here words become values and errors become sentences; the work is done elsewhere.
What a command needs is imported when it runs, so that ``--help`` costs nothing.

Exit codes: 0 done, or stopped by a signal; 1 failed at run time; 2 called wrongly,
or the manifest is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nano.version import __version__
from nano_manifest.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from nano_manifest import NanoCluster

__all__ = ["main"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MANIFEST = click.Path(dir_okay=False, path_type=Path)


class _Failed(click.ClickException):
    """Something did not work at run time."""

    exit_code = 1


class _Wrong(click.ClickException):
    """Something was asked for that cannot be."""

    exit_code = 2


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    """Turn what we raise on purpose into a message and an exit code.

    Anything else is a fault, of ours or of a component, and keeps its traceback.
    """
    from nano.errors import NanoError, UsageError
    from nano_manifest import ManifestError

    try:
        yield
    except ManifestError as error:
        raise _Wrong(str(error)) from error
    except UsageError as error:
        raise _Wrong(f"{error}{_where(error.__cause__)}") from error
    except NanoError as error:
        raise _Failed(str(error)) from error


def _where(cause: BaseException | None) -> str:
    """Say which line *cause* comes from, where it is a user's module that failed."""
    import traceback

    frames = traceback.extract_tb(cause.__traceback__) if cause else None
    if not frames or isinstance(cause, OSError):
        return ""
    ours = (str(Path(__file__).parent), "<frozen")
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    if not theirs or "importlib" in theirs[-1].filename:
        return ""
    return f"\n  at {theirs[-1].filename}:{theirs[-1].lineno}: {theirs[-1].line}"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  nanoctl check cluster.yaml
  nanoctl up -f cluster.yaml
  nanoctl request -s ws://127.0.0.1:3250 EchoService.echo '{"text": "hello"}'
""",
)
@click.version_option(__version__, package_name="nanocluster", prog_name="nanoctl")
def main() -> None:
    """Run a realtime message cluster, on this machine or as a node of one."""


# ---------------------------------------------------------------------- node


def _flag(row: Setting) -> Callable[[_Command], _Command]:
    """Return the option of one node setting."""
    kind: click.ParamType[Any]
    if row.kind is float:
        kind = click.FloatRange(row.minimum, row.maximum)
    elif row.kind is int:
        kind = click.IntRange(int(row.minimum or 0), int(row.maximum or 0))
    else:
        kind = click.Choice(row.choices)
    return click.option(
        row.flag,
        row.name,
        type=kind,
        metavar=row.unit.upper() or "|".join(row.choices),
        envvar=row.env,
        show_envvar=True,
        help=f"{row.sentence} [manifest: {row.path}; default: {row.default}]",
    )


def _node_settings(command: _Command) -> _Command:
    for row in reversed(SETTINGS):
        command = _flag(row)(command)
    return command


def _option(*names: str, **more: Any) -> Callable[[_Command], _Command]:
    """Return an option that is an environment variable too: ``--a-b``, NANO_A_B."""
    variable = "NANO_" + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **more)


@main.command(
    epilog="""\b
A flag wins over its environment variable, and both win over the manifest.
\b
Example, the master of a cluster on this machine:
  nanoctl node --role master --manifest cluster.yaml --address 127.0.0.1:7650
"""
)
@_option(
    "--role",
    type=click.Choice(["master", "gate", "backend"]),
    required=True,
    help="What this node is for.",
)
@_option("--backend", metavar="NAME", help="Which entry of spec.backends this is.")
@_option(
    "--manifest", type=_MANIFEST, required=True, help="The cluster that it belongs to."
)
@_option(
    "--address",
    metavar="HOST:PORT",
    required=True,
    help="Where other nodes reach it; bound, and its name in the cluster.",
)
@_option("--master", metavar="HOST:PORT", help="Where the master is.")
@_option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the listeners for clients bind.",
)
@_option("--observe", metavar="HOST:PORT", help="HTTP: /healthz, /readyz, /metrics.")
@_option(
    "--control",
    metavar="HOST:PORT|unix:PATH",
    help="HTTP: /status, /sessions. Over TCP it needs a token.",
)
@_option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the token for --control.",
)
@_option(
    "--app-dir",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Where the components' modules are.",
)
@_option(
    "--listen-fds",
    metavar="NAME=FD,…",
    default="",
    help="Listening sockets that were inherited, by the listener's name.",
)
@_node_settings
def node(
    role: str,
    backend: str | None,
    manifest: Path,
    address: str,
    master: str | None,
    host: str,
    observe: str | None,
    control: str | None,
    token_file: Path | None,
    app_dir: str,
    listen_fds: str,
    **settings: object,
) -> None:
    """Run one node of a cluster until SIGTERM or Ctrl-C.

    This is what pods run, and what `nanoctl up` starts several of.
    """
    from nano.local.logs import configure
    from nano.local.parent import stop_with_parent

    supervised = stop_with_parent()
    with _errors_as_sentences():
        cluster = _with_settings(_load(manifest), settings)
        configure(cluster.spec.settings.log_level, short=supervised)
        from nano.node import NodeOptions, Role, run

        run(
            NodeOptions(
                role=Role(role),
                backend=backend,
                manifest=cluster,
                address=address,
                master=master,
                host=host,
                observe=observe,
                control=control,
                token=_token(token_file),
                app_dir=app_dir,
                listen_fds=_descriptors(listen_fds),
            )
        )


def _load(path: Path) -> NanoCluster:
    from nano_manifest import load

    return load(path)


def _with_settings(cluster: NanoCluster, given: dict[str, object]) -> NanoCluster:
    """Return *cluster* with the settings that flags or variables name."""
    from msgspec.structs import replace

    from nano_manifest import overridden

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = overridden(cluster.spec.settings, chosen)
    return replace(cluster, spec=replace(cluster.spec, settings=settings))


def _token(path: Path | None) -> str | None:
    """Read the token.

    Raises:
        UsageError: The file cannot be read, or is empty.
    """
    from nano.errors import UsageError

    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"--token-file {path} cannot be read: {error}"
        raise UsageError(message) from error
    if not token:
        raise UsageError(f"--token-file {path} is empty; write a secret into it")
    return token


def _descriptors(text: str) -> dict[str, int]:
    """Read ``ws=5,tcp=6``.

    Raises:
        UsageError: It is not of that form.
    """
    from nano.errors import UsageError

    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not name or not (number.isascii() and number.isdecimal()):
            message = f"--listen-fds needs NAME=FD,…, as ws=5,tcp=6, not {text!r}"
            raise UsageError(message)
        found[name] = int(number)
    return found


# ------------------------------------------------------------------ one's own


@main.command(
    epilog="""\b
Examples:
  nanoctl up -f examples/echo/cluster.yaml
  nanoctl up -f cluster.yaml --try EchoService.echo '{"text": "hello"}'
"""
)
@click.option(
    "-f",
    "--file",
    "manifest",
    type=_MANIFEST,
    required=True,
    help="The manifest; the components' modules are looked for beside it.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the listeners for clients bind; 0.0.0.0 lets other machines in.",
)
@click.option(
    "--try",
    "first",
    nargs=2,
    metavar="ROUTE JSON",
    help="Send a first request when all is ready, and show its answer.",
)
def up(manifest: Path, host: str, first: tuple[str, str] | None) -> None:
    """Run a whole cluster on this machine: a process for each replica.

    Ctrl-C stops all of them, gates first. What dies is started again. Images,
    resources and templates of the manifest mean nothing here.
    """
    with _errors_as_sentences():
        cluster = _load(manifest)
        message = (first[0], _json(first[1])) if first else None
        from nano.local.supervisor import Run
        from nano.local.supervisor import up as start

        folder = manifest.resolve().parent
        start(Run(cluster=cluster, app_dir=folder, host=host, first=message))


@main.command(
    epilog="""\b
Examples:
  nanoctl request -s ws://127.0.0.1:3250 EchoService.echo '{"text": "hello"}'
  nanoctl request -s 127.0.0.1:3251 EchoService.echo '{"text": "hello"}'
"""
)
@click.option(
    "-s",
    "--server",
    metavar="URL|HOST:PORT",
    required=True,
    envvar="NANO_SERVER",
    show_envvar=True,
    help="A listener: ws://host:port/, tcp://host:port, or host:port for TCP.",
)
@click.option("--ws", is_flag=True, help="host:port is a WebSocket listener.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.01, 3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait, for the connection and for the answer.",
)
@click.argument("route")
@click.argument("payload", metavar="[JSON]", default="{}")
def request(server: str, ws: bool, timeout: float, route: str, payload: str) -> None:
    """Send one request as a client, and print the answer as JSON."""
    import asyncio

    url = server if "://" in server else f"{'ws' if ws else 'tcp'}://{server}"
    with _errors_as_sentences():
        body = _json(payload)
        try:
            answer = asyncio.run(_ask(url, route, body, timeout))
        except TimeoutError:
            message = f"no answer from {url} in {timeout:g} s"
            raise _Failed(message) from None
    import msgspec

    click.echo(msgspec.json.encode(answer))


async def _ask(url: str, route: str, body: object, timeout: float) -> object:
    from nano.client import connect

    async with await connect(url, timeout=timeout) as client:
        answer: object = await client.request(route, body, timeout=timeout)
        return answer


def _json(text: str) -> object:
    """Read *text*.

    Raises:
        UsageError: It is no JSON.
    """
    import msgspec

    from nano.errors import UsageError

    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = (
            f"{text!r} is no JSON ({error}); quote it for the shell: '{{\"a\": 1}}'"
        )
        raise UsageError(message) from error
    return value


# ------------------------------------------------------------------ manifest


@main.command()
@click.argument("file", type=_MANIFEST)
def check(file: Path) -> None:
    """Say whether FILE is a good manifest, and what is wrong with it."""
    with _errors_as_sentences():
        cluster = _load(file)
    spec = cluster.spec
    ways = ", ".join(f"{item.name} on {item.port}" for item in spec.gates.listeners)
    click.echo(f"{cluster.metadata.namespace}/{cluster.metadata.name} is good:")
    click.echo("  master: 1")
    click.echo(f"  gates: {spec.gates.replicas}, listening as {ways}")
    for item in spec.backends:
        runs = ", ".join(item.components)
        click.echo(f"  backend {item.name}: {item.replicas}, running {runs}")


@main.command()
def crd() -> None:
    """Print the CustomResourceDefinition of NanoCluster as YAML."""
    import yaml

    from nano_manifest import crd as definition

    click.echo("# Made by `nanoctl crd` from the types of nano_manifest.")
    click.echo(yaml.safe_dump(definition(), sort_keys=False, width=100), nl=False)


if __name__ == "__main__":
    sys.exit(main())
