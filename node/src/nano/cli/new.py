"""``nanoctl new``: the beginning of a project, which works as it is."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

import click

from nano.cli.errors import Wrong
from nano.version import __version__

__all__ = ["new"]

NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")  # of a NanoCluster, too

# the template, and what it becomes
FILES: Final = {
    "component.py.txt": "$module.py",
    "test.py.txt": "test_$module.py",
    "cluster.yaml.txt": "cluster.yaml",
    "public/index.html.txt": "public/index.html",
    "public/page.css.txt": "public/page.css",
    "public/page.js.txt": "public/page.js",
    "Dockerfile.txt": "Dockerfile",
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
}
CLIENT: Final = "client"  # of clients/js: a link in a checkout, files in a wheel
NOT_OURS: Final = "starx.js"  # for pages that were written for nano


@click.command(
    epilog="""\b
Examples:
  nanoctl new guestbook
  cd guestbook && pytest
  nanoctl dev -f guestbook/cluster.yaml --open
"""
)
@click.option(
    "--in",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="FOLDER",
    help="Where the project's folder is made.",
)
@click.argument("name")
def new(folder: Path, name: str) -> None:
    """Begin a project: a component with its test, a page, a cluster that runs them.

    NAME is the folder's and the cluster's: small letters, digits and hyphens. Nothing
    that exists is written over.
    """
    module = _module(name)
    service = "".join(part.capitalize() for part in name.split("-")) + "Service"
    words = {
        "name": name,
        "module": module,
        "service": service,
        "version": __version__,
    }
    target = folder / name
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise Wrong(f"{target} exists; take another name, or another --in") from None
    except OSError as error:
        raise Wrong(f"{target}: {error.strerror}") from error
    templates = resources.files("nano.cli") / "project"
    for source, path in FILES.items():
        text = (templates / source).read_text(encoding="utf-8")
        made = target / Template(path).substitute(words)
        made.parent.mkdir(exist_ok=True)
        made.write_text(Template(text).substitute(words), encoding="utf-8")
        click.echo(f"  {made}")
    client = target / "public" / "nano"
    client.mkdir()
    for script in (templates / CLIENT).iterdir():
        if script.name.endswith(".js") and script.name != NOT_OURS:
            (client / script.name).write_bytes(script.read_bytes())
    click.echo(f"  {client}: the client of JavaScript")
    click.echo(f"Try: nanoctl dev -f {target / 'cluster.yaml'}")


def _module(name: str) -> str:
    """Return the name of the module of a project called *name*.

    Raises:
        Wrong: It can be no cluster's name, or no module's.
    """
    if not NAME.fullmatch(name):
        raise Wrong(
            f"{name!r} is no name: small letters, digits and hyphens, a letter first, "
            "and 40 at most"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise Wrong(f"{name!r} is a word of Python's; take another name")
    if importlib.util.find_spec(module) is not None:
        raise Wrong(f"there is a Python module {module!r}; take another name")
    return module
