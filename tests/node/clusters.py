"""Manifests of small clusters, and what they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from nano.node import Node, NodeOptions, Role
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

APP_DIR = str(Path(__file__).parent / "app")
CLUSTER = {"namespace", "nanocluster"}  # labels of every sample
PATIENCE = 10.0  # seconds for anything that is waited for; the machine may be busy


def manifest(
    *,
    gates: int = 1,
    backends: int = 2,
    local: bool = False,
    packet: int = 65_536,
    ws: int = 3250,
    tcp: int = 3251,
) -> NanoCluster:
    """Return a cluster with a TCP and a WebSocket listener.

    Args:
        gates: How many.
        backends: How many.
        local: The gates run a component of their own.
        packet: The longest packet body and payload, in bytes.
        ws: Port of the WebSocket listener; a LocalCluster takes any.
        tcp: Port of the TCP listener.
    """
    return NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            settings=Settings(
                max_packet_bytes=packet,
                max_send_bytes=packet,
                backlog_bytes=64 << 20,
            ),
            gates=Gates(
                replicas=gates,
                components=["nodeapp:Local"] if local else [],
                listeners=[
                    Listener(name="ws", transport="websocket", port=ws),
                    Listener(name="tcp", transport="tcp", port=tcp),
                ],
            ),
            backends=[
                Backend(name="talk", replicas=backends, components=["nodeapp:Talk"])
            ],
        ),
    )


def options(role: Role, master: str | None = None, **more: object) -> NodeOptions:
    """Return options of a node that listens on any port."""
    given: dict[str, object] = {
        "role": role,
        "manifest": manifest(),
        "address": "127.0.0.1:0",
        "master": master,
        "app_dir": APP_DIR,
    }
    return NodeOptions(**(given | more))  # type: ignore[arg-type]


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until *condition* holds; fail after *patience* seconds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  # it may be about anything
            await asyncio.sleep(0.005)


def sample(node: Node, name: str, **labels: str) -> float | None:
    """Return one sample of a node's metrics; all have the labels of the cluster."""
    text = node.metrics().decode()
    for family in text_string_to_metric_families(text):
        for found in family.samples:
            if found.name != name or not found.labels.keys() >= CLUSTER:
                continue
            if {k: v for k, v in found.labels.items() if k not in CLUSTER} == labels:
                return found.value
    return None
