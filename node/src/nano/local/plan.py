"""A manifest as a list of processes: who they are and how they are called.

The plan is a value.  It is made from a manifest and a few facts about this run
(folders, ports) and starts nothing itself, so that a test can
read it.  What the manifest says for Kubernetes only is left out, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nano_manifest import Backend, Gates, NanoCluster, RoleFields

__all__ = ["ALL", "ProcessSpec", "Surroundings", "ignored", "plan", "plan_single"]

ALL: Final = "all"  # the name of the one process where there is one

_HOST: Final = "127.0.0.1"  # nodes of one machine talk to each other over loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The facts of one run.

    Attributes:
        manifest_file: Where the nodes read the manifest.
        app_dir: Where components are looked for.
        sources: Where those of a backend are looked for instead, by its name.
        run_dir: A folder of ours alone, for control sockets.
        host: Where listeners bind.
        tls_dir: What stands for the Secrets with certificates, or ``None``.
        next_port: Returns a free port of loopback, another one each time.
        master: Address and observe address of the master, where it has them already.
    """

    manifest_file: Path
    app_dir: Path
    run_dir: Path
    host: str
    next_port: Callable[[], int]
    sources: Mapping[str, Path] = field(default_factory=dict)
    tls_dir: Path | None = None
    master: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process.

    Attributes:
        name: What people see: ``master``, ``gate-1``, ``room-2``; ``gate-1.2`` is the
            second process of a gate that has several.
        role: ``master``, ``gate`` or ``backend``.
        kind: The role, or which backend it is.
        args: What follows ``nanoctl``.
        env: What is added to the environment.
        address: Its cluster address, which is its name to other nodes.
        observe: ``host:port`` of its health and metrics.
        control: Its control socket.
    """

    name: str
    role: str
    kind: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    address: str
    observe: str
    control: Path


def plan(cluster: NanoCluster, here: Surroundings) -> list[ProcessSpec]:
    """Return the processes of *cluster*: the master, the backends, the gates."""
    spec = cluster.spec
    master = _process("master", "master", (), spec.master, here, here.master)
    processes = [master]
    joining = ("--master", master.address)
    args: tuple[str, ...]
    for backend in spec.backends:
        args = ("--backend", backend.name, *joining)
        for number in range(1, backend.replicas + 1):
            name = f"{backend.name}-{number}"
            processes.append(_process(name, "backend", args, backend, here))
    args = ("--host", here.host, *joining)
    gates = _gates(spec.gates)
    processes += [_process(it, "gate", args, spec.gates, here) for it in gates]
    return processes


def plan_single(cluster: NanoCluster, here: Surroundings) -> list[ProcessSpec]:
    """Return the one process that all of *cluster* is in.

    It has the variables of all roles; where two have the same, the gates' wins.
    """
    spec = cluster.spec
    observe = f"{_HOST}:{here.next_port()}"
    control = here.run_dir / "all.sock"
    words = {
        "--role": ALL,
        "--manifest": str(here.manifest_file),
        "--app-dir": str(here.app_dir),
        "--host": here.host,
        "--observe": observe,
        "--control": f"unix:{control}",
        **({"--tls-dir": str(here.tls_dir)} if here.tls_dir else {}),
    }
    env: dict[str, str] = {}
    for fields in (*spec.backends, spec.gates):
        env |= _variables(fields)
    return [
        ProcessSpec(
            name=ALL,
            role="gate",  # it has the listeners
            kind=ALL,
            args=("node", *(word for pair in words.items() for word in pair)),
            env=env,
            address="in one process",
            observe=observe,
            control=control,
        )
    ]


def _variables(fields: RoleFields) -> dict[str, str]:
    return {it.name: it.value for it in fields.env if it.value_from is None}


def _gates(gates: Gates) -> Iterator[str]:
    """Yield the names of the gates' processes."""
    for number in range(1, gates.replicas + 1):
        if gates.processes == 1:
            yield f"gate-{number}"
        else:
            yield from (f"gate-{number}.{n}" for n in range(1, gates.processes + 1))


def _process(
    name: str,
    role: str,
    args: tuple[str, ...],
    fields: RoleFields,
    here: Surroundings,
    places: tuple[str, str] | None = None,
) -> ProcessSpec:
    address, observe = places or (
        f"{_HOST}:{here.next_port()}",
        f"{_HOST}:{here.next_port()}",
    )
    control = here.run_dir / f"{name}.sock"
    kind = fields.name if isinstance(fields, Backend) else role
    common = {
        "--role": role,
        "--address": address,
        "--manifest": str(here.manifest_file),
        "--app-dir": str(here.sources.get(kind, here.app_dir)),
        "--observe": observe,
        "--control": f"unix:{control}",
    }
    if here.tls_dir:
        common["--tls-dir"] = str(here.tls_dir)
    return ProcessSpec(
        name=name,
        role=role,
        kind=kind,
        args=("node", *(word for pair in common.items() for word in pair), *args),
        env=_variables(fields),
        address=address,
        observe=observe,
        control=control,
    )


def ignored(cluster: NanoCluster) -> Iterator[str]:
    """Yield what of *cluster* a node may miss here, as sentences."""
    spec = cluster.spec
    roles: list[tuple[str, RoleFields]] = [("master", spec.master)]
    roles += [(f"backend {item.name}", item) for item in spec.backends]
    roles.append(("gates", spec.gates))
    for name, fields in roles:
        if fields.env_from:
            yield (
                f"{name}: envFrom is for Kubernetes; here its variables are those "
                "of this shell, if it has them"
            )
        for variable in fields.env:
            if variable.value_from is not None:
                yield (
                    f"{name}: {variable.name} takes its value from Kubernetes; set it "
                    "by hand here"
                )
