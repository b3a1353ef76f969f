"""The custom resource definition, applied by the operator when it starts.

Helm installs a CRD once and never updates it; so the operator brings the one that
belongs to its version.  It stays additive, so an older operator's resources are
valid in a newer one's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol, cast

from nano_operator.errors import RefusedError, SetupError
from nano_operator.objects import CLUSTERS, Object, Resource

__all__ = ["CRDS", "install"]

CRDS: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")

ESTABLISH_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.2

logger = logging.getLogger("nano_operator")


class CrdApi(Protocol):
    """What the installation needs of an API server."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, or None."""
        ...

    async def apply(self, resource: Resource, body: Object) -> Object:
        """Write an object by server-side apply."""
        ...

    async def serves(self, resource: Resource) -> bool:
        """Tell whether discovery shows a kind of object."""
        ...


async def install(api: CrdApi, definition: Object) -> None:
    """Apply the CRD and wait until the API server serves it.

    Raises:
        SetupError: It may not be written and is not there either, or it was not
            accepted in time.
    """
    name = str(cast("Object", definition["metadata"])["name"])
    try:
        await api.apply(CRDS, definition)
    except RefusedError as error:
        if not await api.serves(CLUSTERS):
            message = (
                f"the CRD {name} is not installed and cannot be: {error.message}. "
                "Install it with 'kubectl apply --server-side -f' from the chart's "
                "crds folder, or allow the operator to write it"
            )
            raise SetupError(message) from None
        logger.warning("going on with the CRD that is there: %s", error.message)
        return
    try:
        async with asyncio.timeout(ESTABLISH_SECONDS):
            while True:
                if await _is_served(api, name):
                    return
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        message = (
            f"the CRD {name} was not established in {ESTABLISH_SECONDS:.0f} s; "
            f"'kubectl describe crd {name}' says why"
        )
        raise SetupError(message) from None


async def _is_served(api: CrdApi, name: str) -> bool:
    found = await api.get(CRDS, "", name) or {}
    status = cast("Object", found.get("status", {}))
    entries = cast("list[Object]", status.get("conditions") or [])
    established = any(
        entry["type"] == "Established" and entry["status"] == "True"
        for entry in entries
    )
    return established and await api.serves(CLUSTERS)
