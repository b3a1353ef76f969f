"""Components from ConfigMaps, on a laptop: documents that become folders.

``kubectl apply`` makes a ConfigMap of each, which the operator mounts; here its files
are written into the folder of the run, where nodes of the backend look for modules.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nano.errors import UsageError
from nano_manifest import NanoCluster
from nano_manifest.sources import Sources, lacking

__all__ = ["check_sources", "write_sources"]

_MODE: Final = 0o700


def check_sources(cluster: NanoCluster, sources: Sources, single: bool) -> None:
    """Look whether every backend finds its components.

    Args:
        cluster: The manifest.
        sources: The ConfigMaps beside it.
        single: All backends are to be in one process.

    Raises:
        UsageError: A ConfigMap is not in the file, or lacks a module; or one process
            would have to look for modules of the same name in several places.
    """
    for index, backend in enumerate(cluster.spec.backends):
        at = f"spec.backends[{index}].source"
        if backend.source is not None and single:
            message = f"{at}: needs a process of its own; leave --single out"
            raise UsageError(message)
        lack = lacking(backend, sources)
        if lack is not None:
            message = (
                f"{at}.configMap: {lack} in the file of the manifest; add it there as "
                "a document of its own, or remove source to use the modules beside it"
            )
            raise UsageError(message)


def write_sources(
    cluster: NanoCluster, sources: Sources, folder: Path
) -> dict[str, Path]:
    """Write what :func:`check_sources` has seen into *folder*.

    Returns:
        Where the components of each backend are that has a source.
    """
    places: dict[str, Path] = {}
    for backend in cluster.spec.backends:
        if backend.source is None:
            continue
        place = folder / f"source-{backend.name}"
        place.mkdir(mode=_MODE)
        for name, text in sources[backend.source.config_map].items():
            (place / name).write_text(text, encoding="utf-8")
        places[backend.name] = place
    return places
