"""``nanoctl dev``: a cluster that follows what is saved, with its page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from nano.cli.errors import Wrong, as_sentences
from nano.cli.running import run_options, there

__all__ = ["dev"]

PAGE = "public"
INDEX = "index.html"
# the page of another project, or examples/chat, may have the first
PORTS: Final = range(8080, 8100)


@click.command(
    epilog="""\b
Examples:
  nanoctl dev
  nanoctl dev -f guestbook/cluster.yaml --open
  nanoctl dev --page ../website --page-port 0
"""
)
@run_options
@click.option(
    "--page",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder with the page; by default that called public beside the manifest, "
    "where it has an index.html.",
)
@click.option(
    "--page-port",
    type=click.IntRange(0, 65535),
    help="Where the page is served; 0: at a port that is free. By default 8080, or the "
    "next one where that is in use.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def dev(
    manifest: Path,
    single: bool,
    host: str,
    tls_dir: Path | None,
    page: Path | None,
    page_port: int | None,
    show: bool,
) -> None:
    """Run a cluster, and take up each change when it is saved.

    All of `nanoctl up`, and more. Python files and the manifest: what reads them is
    replaced as by `nanoctl reload`; what cannot be started replaces nothing, and its
    error is shown. The page: browsers load it again. Ctrl-C stops it all.
    """
    with as_sentences():
        from nano.local.supervisor import Run, up
        from nano.local.workshop import WorkshopOptions
        from nano_manifest import load

        cluster = load(there(manifest))
        if page is None:
            usual = manifest.resolve().parent / PAGE
            page = usual if (usual / INDEX).is_file() else None
        elif not (page / INDEX).is_file():
            raise Wrong(f"--page {page}: there is no {INDEX} in it")
        workshop = WorkshopOptions(
            page=page,
            ports=PORTS if page_port is None else (page_port,),
            opened=click.launch if show else lambda _: None,
        )
        up(
            Run(
                manifest=manifest,
                cluster=cluster,
                host=host,
                tls_dir=tls_dir.resolve() if tls_dir else None,
                single=single,
                workshop=workshop,
            )
        )
