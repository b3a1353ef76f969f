"""The options of every command that runs a cluster on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from nano.cli.errors import Wrong

__all__ = ["run_options", "there"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-f",
        "--file",
        "manifest",
        type=click.Path(dir_okay=False, path_type=Path),
        default="cluster.yaml",
        show_default=True,
        help="The manifest; the components' modules are looked for beside it.",
    ),
    click.option(
        "--single",
        is_flag=True,
        help="All roles in one process: one gate and one backend of each kind, no "
        "master. It starts faster and needs less memory.",
    ),
    click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="Where the listeners for clients bind; 0.0.0.0 lets other machines in.",
    ),
    click.option(
        "--tls-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="In place of Secrets: folders with tls.crt, tls.key and, for the cluster "
        "port, ca.crt.",
    ),
)


def there(manifest: Path) -> Path:
    """Return *manifest*.

    Raises:
        Wrong: There is no such file, as for who is in another folder.
    """
    if not manifest.exists():
        raise Wrong(
            f"there is no {manifest}; -f names a manifest that is elsewhere, and "
            "`nanoctl new NAME` begins a project"
        )
    return manifest


def run_options(command: _Command) -> _Command:
    """Give *command* the arguments manifest, single, host and tls_dir."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
