"""A cluster whose nodes are processes, secured, that can be frozen and killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from nano.client import connect
from nano.cluster.credentials import node_name
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.local.ports import free_ports
from tests.cluster.certificates import Authority, Secret

from .prometheus import PATIENCE
from .town import APP_DIR

CLUSTER: Final = "default/hamlet"
MANIFEST: Final = """\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {{name: hamlet}}
spec:
  clusterTls: {{secretName: nodes, masterSecretName: master}}
  settings:
    # nobody is taken from the list for being frozen: it is as if the way were shut
    memberHeartbeatSeconds: 300
    peerGraceSeconds: 1
  gates:
    replicas: 1
    processes: 2
    listeners:
    - {{name: tcp, transport: tcp, port: {tcp}}}
    - {{name: tls, transport: tcp, port: {tls}, tls: {{secretName: door}}}}
  backends:
  - {{name: mill, replicas: 2, components: ["townapp:Mill"]}}
"""
LONG, SHORT = 90, 3  # days that certificates have to go


class Hamlet:
    """A master, a gate of two processes and two backends.

    Attributes:
        observe: Where the nodes' metrics are, by name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority()
        self._secrets = [
            Secret(folder / "tls" / name, self._authority, role, CLUSTER)
            for name, role in (("nodes", ""), ("master", "master"), ("door", ""))
        ]
        self.certify(LONG)
        # few: more than a block would be given twice
        ports = set(free_ports(30))
        gate = next(it for it in sorted(ports) if it + 3 in ports)
        ports -= {gate, gate + 3}  # its second process has that one
        self._tcp = ports.pop()
        (folder / "cluster.yaml").write_text(
            MANIFEST.format(tcp=self._tcp, tls=ports.pop())
        )
        self._address = {
            name: f"127.0.0.1:{gate if name == 'gate' else ports.pop()}"
            for name in ("master", "gate", "backend1", "backend2")
        }
        self.observe = {name: f"127.0.0.1:{ports.pop()}" for name in self._address}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def certify(self, days: int) -> None:
        """Give everybody a certificate that has *days* to go."""
        for secret in self._secrets:
            pair = self._authority.issue(secret.cluster, secret.role, days=days)
            secret.put(*pair, self._authority.pem)

    def start(self, name: str) -> None:
        """Start a node, for the first time or again."""
        role = name.rstrip("12")
        words = ["--role", role, "--address", self._address[name]]
        words += ["--observe", self.observe[name], "--app-dir", APP_DIR]
        words += ["--manifest", "cluster.yaml", "--tls-dir", "tls"]
        if role == "gate":
            words += ["--processes", "2"]
        if role == "backend":
            words += ["--backend", "mill"]
        if role != "master":
            words += ["--master", self._address["master"]]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "nano.cli", "node", *words],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node; one that is killed is gone when this returns."""
        self._processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self._processes[name].wait()

    @asynccontextmanager
    async def grinding(self) -> AsyncIterator[str]:
        """Have a backend compute, for the time of the context; yields the other one."""
        url = f"tcp://127.0.0.1:{self._tcp}"
        async with await connect(url, request_timeout=PATIENCE) as client:
            busy = await client.request("Mill.grind", 8)
            both = ("backend1", "backend2")
            (idle,) = (it for it in both if self._processes[it].pid != busy)
            yield idle
            await client.request("Mill.rest", None)

    @asynccontextmanager
    async def strangers(self) -> AsyncIterator[None]:
        """Have a node of another cluster try to join, for the time of the context."""
        cert, key = self._authority.issue("default/elsewhere", "master")
        shown = grpc.ssl_channel_credentials(self._authority.pem, key, cert)
        options = [("grpc.ssl_target_name_override", node_name(CLUSTER))]
        way = grpc.aio.secure_channel(self._address["master"], shown, options=options)
        knocking = asyncio.create_task(_knock(way), name="a stranger")
        try:
            yield
        finally:
            knocking.cancel()
            await asyncio.gather(knocking, return_exceptions=True)
            await way.close(None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have all nodes run, for the time of the context."""
        try:
            for name in self._address:
                self.start(name)
            yield
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()


async def _knock(way: grpc.aio.Channel) -> None:
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await rpc.MasterStub(way).Register(pb.RegisterRequest(), timeout=5.0)
        await asyncio.sleep(0.01)
