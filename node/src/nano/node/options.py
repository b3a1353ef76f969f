"""What a node is told when it is made: its role, its manifest and its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from nano.errors import UsageError
from nano_manifest import Backend, NanoCluster

__all__ = ["NodeOptions", "Role", "backend_of"]


class Role(Enum):
    """What a node is for."""

    MASTER = "master"
    GATE = "gate"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Where a node stands in its cluster.

    Attributes:
        role: What it is for.
        manifest: The whole cluster, with the settings as they apply here.
        address: Where other nodes reach it, ``host:port``; bound, and its name.
        backend: Which entry of ``spec.backends`` it is, if it is one.
        master: Where the master is; ``None`` on the master itself.
        host: Where listeners bind.
        observe: Address of health and metrics, or ``None``.
        control: Address of the control interface, or ``None``.
        token: What control requests over TCP must show.
        app_dir: Where components are looked for first.
        tls_dir: Where the Secrets with certificates lie, a folder each, or ``None``.
        listen_fds: Listening sockets to use in place of binding, by listener.
    """

    role: Role
    manifest: NanoCluster
    address: str
    backend: str | None = None
    master: str | None = None
    host: str = "127.0.0.1"
    observe: str | None = None
    control: str | None = None
    token: str | None = None
    app_dir: str = "."
    tls_dir: str | None = None
    listen_fds: Mapping[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of every metric: which cluster it is."""
        about = self.manifest.metadata
        return {"namespace": about.namespace, "nanocluster": about.name}


def backend_of(options: NodeOptions) -> Backend | None:
    """Return the entry of the manifest that this node is.

    Raises:
        UsageError: There is none, or one is named for another role.
    """
    if options.role is not Role.BACKEND:
        if options.backend:
            raise UsageError("--backend is for the role backend only")
        return None
    known = {item.name: item for item in options.manifest.spec.backends}
    if options.backend in known:
        return known[options.backend]
    names = ", ".join(known) or "none"
    message = f"the manifest has no backend {options.backend!r}; it has: {names}"
    raise UsageError(message)
