"""``nanoctl node``: what pods run, and what ``nanoctl up`` starts several of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nano.cli.errors import as_sentences
from nano_manifest.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from nano_manifest import NanoCluster

__all__ = ["node"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)


def _flag(row: Setting) -> Callable[[_Command], _Command]:
    """Return the option of one node setting."""
    kind: click.ParamType[Any]
    if row.kind is float:
        kind = click.FloatRange(row.minimum, row.maximum)
    elif row.kind is int:
        kind = click.IntRange(int(row.minimum or 0), int(row.maximum or 0))
    elif row.kind is bool:
        kind = click.BOOL
    else:
        kind = click.Choice(row.choices)
    default = str(row.default).lower()  # as YAML has it
    return click.option(
        row.flag,
        row.name,
        type=kind,
        metavar=row.unit.upper() or "|".join(row.choices),
        envvar=row.env,
        show_envvar=True,
        help=f"{row.sentence} [manifest: {row.path}; default: {default}]",
    )


def _node_settings(command: _Command) -> _Command:
    for row in reversed(SETTINGS):
        command = _flag(row)(command)
    return command


def _option(*names: str, **more: Any) -> Callable[[_Command], _Command]:
    """Return an option that is an environment variable too: ``--a-b``, NANO_A_B."""
    variable = "NANO_" + names[0].removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **more)


@click.command(
    epilog="""\b
A flag wins over its environment variable, and both win over the manifest.
\b
Example, the master of a cluster on this machine:
  nanoctl node --role master --manifest cluster.yaml --address 127.0.0.1:7650
"""
)
@_option(
    "--role",
    type=click.Choice(["master", "gate", "backend", "all"]),
    required=True,
    help="What this node is for; all is a cluster in one process, with one gate and "
    "one backend of each kind.",
)
@_option("--backend", metavar="NAME", help="Which entry of spec.backends this is.")
@_option(
    "--manifest", type=_FILE, required=True, help="The cluster that it belongs to."
)
@_option(
    "--address",
    metavar="HOST:PORT",
    help="Where other nodes reach it; bound, and its name in the cluster. Required but "
    "with the role all.",
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
    help="HTTP: /status, /sessions, /log-level. Over TCP it needs a token.",
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
    "--tls-dir",
    metavar="FOLDER",
    help="Where the Secrets with certificates are: a folder each, with tls.crt, "
    "tls.key and, for the cluster port, ca.crt.",
)
@_option(
    "--listen-fds",
    metavar="NAME=FD,…",
    default="",
    help="Listening sockets that were inherited, by the listener's name.",
)
@_option(
    "--processes",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    help="Processes of this gate, which share its listeners and its HTTP. The second "
    "has the cluster port of --address plus 3, and so on.",
)
@_option(
    "--log-file",
    type=_FILE,
    help="Log to this file as well, in JSON unless --log-format is human, and to a new "
    "one each day. One for each node; with --processes, each process has its own "
    "beside it, as gate-2.log.",
)
@_option(
    "--log-days",
    type=click.IntRange(1, 3650),
    default=7,
    show_default=True,
    help="How many files of earlier days are kept.",
)
@_node_settings
def node(
    role: str,
    backend: str | None,
    manifest: Path,
    address: str | None,
    master: str | None,
    host: str,
    observe: str | None,
    control: str | None,
    token_file: Path | None,
    app_dir: str,
    tls_dir: str | None,
    listen_fds: str,
    processes: int,
    log_file: Path | None,
    log_days: int,
    **settings: object,
) -> None:
    """Run one node of a cluster until SIGTERM or Ctrl-C.

    This is what pods run, and what `nanoctl up` starts several of.
    """
    from nano.local.logs import configure
    from nano.local.parent import is_watched, stop_with_parent

    stop_with_parent()
    with as_sentences():
        from nano.cli.values import read_descriptors, read_token
        from nano.errors import UsageError
        from nano_manifest import load

        cluster = _with_settings(load(manifest), settings)
        chosen = cluster.spec.settings
        configure(
            chosen.log_level,
            form=chosen.log_format,
            short=is_watched(),
            about={
                "namespace": cluster.metadata.namespace,
                "nanocluster": cluster.metadata.name,
                "role": role,
                "backend": backend or "",
                "node": address or role,
            },
            file=log_file,
            days=log_days,
        )
        from nano.node import NodeOptions, Role, run

        if role == "all":
            for name, given in (("--address", address), ("--master", master)):
                if given:
                    raise UsageError(f"{name} is not for the role all: it has no port")
        elif address is None:
            raise UsageError(f"the role {role} needs --address HOST:PORT")
        options = NodeOptions(
            role=Role.GATE if role == "all" else Role(role),
            backend=backend,
            manifest=cluster,
            address=address or "",
            master=master,
            host=host,
            observe=observe,
            control=control,
            token=read_token(token_file),
            app_dir=app_dir,
            tls_dir=tls_dir,
            listen_fds=read_descriptors(listen_fds),
        )
        if role == "all":
            from nano.local.single import run_single

            if processes > 1:
                raise UsageError("--processes is for the role gate only")
            run_single(options)
            return
        if processes == 1:
            run(options)
            return
        from nano.local.processes import SeveralRun, run_several

        run_several(
            SeveralRun(
                options=options,
                manifest_file=manifest,
                processes=processes,
                settings=_flags(settings),
                log_file=log_file,
                log_days=log_days,
            )
        )


def _flags(given: dict[str, object]) -> dict[str, str]:
    """Return the settings that flags or variables name, as flags."""
    flags = {row.name: row.flag for row in SETTINGS}
    return {
        flags[name]: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _with_settings(cluster: NanoCluster, given: dict[str, object]) -> NanoCluster:
    """Return *cluster* with the settings that flags or variables name."""
    from msgspec.structs import replace

    from nano_manifest import overridden

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = overridden(cluster.spec.settings, chosen)
    return replace(cluster, spec=replace(cluster.spec, settings=settings))
