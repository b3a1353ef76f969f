"""What is asked of Kubernetes, by the ``kubectl`` that is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from nano.cli.errors import Failed
from nano_manifest import OBSERVE_PORT

__all__ = [
    "AT_ONCE",
    "BACKEND",
    "CLUSTER",
    "GATE",
    "MASTER",
    "RESOURCE",
    "ROLE",
    "Asked",
    "Kubectl",
    "Pod",
]

SECONDS: Final = 30.0  # for one command
AT_ONCE: Final = 8  # pods that are asked side by side
RESOURCE: Final = "nanoclusters.nanocluster.io"
CLUSTER: Final = "nanocluster.io/cluster"
ROLE: Final = "nanocluster.io/role"
BACKEND: Final = "nanocluster.io/backend"
MASTER: Final = "master"
GATE: Final = "gate"
ALIVE: Final = ("Running", "Terminating")  # phases in which a node may answer
ORDER: Final = (MASTER, GATE)  # and then the backends


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that runs a node.

    Attributes:
        name: The pod's.
        namespace: The pod's.
        role: ``master``, ``gate``, or the name of the backend kind.
        ip: Its address; empty as long as it has none.
        ready: It is, as the kubelet sees it.
        phase: Kubernetes' word for where it stands; ``Terminating`` if it goes.
        restarts: How often its node was started again.
        started: When, as Kubernetes writes times.
    """

    name: str
    namespace: str
    role: str
    ip: str
    ready: bool
    phase: str
    restarts: int
    started: str

    @classmethod
    def of(cls, item: dict[str, Any]) -> Pod:
        """Read what the API server says of a pod."""
        meta, status = item["metadata"], item.get("status", {})
        labels = meta.get("labels", {})
        conditions = status.get("conditions", [])
        containers = status.get("containerStatuses", [])
        leaving = "deletionTimestamp" in meta
        return cls(
            name=meta["name"],
            namespace=meta["namespace"],
            role=labels.get(BACKEND) or labels.get(ROLE, ""),
            ip=status.get("podIP", ""),
            ready=any(
                it["type"] == "Ready" and it["status"] == "True" for it in conditions
            ),
            phase="Terminating" if leaving else status.get("phase", "Unknown"),
            restarts=sum(it.get("restartCount", 0) for it in containers),
            started=meta.get("creationTimestamp", ""),
        )


def _rank(role: str) -> int:
    return ORDER.index(role) if role in ORDER else len(ORDER)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a pod's node has answered.

    Attributes:
        pod: Which.
        answer: The answer; empty if there is none.
        problem: Why there is none.
    """

    pod: Pod
    answer: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs ``kubectl``.

    Attributes:
        flags: What every command is given: namespace, context, kubeconfig.
    """

    flags: tuple[str, ...] = ()

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs *words*."""
        return [os.environ.get("KUBECTL", "kubectl"), *self.flags, *words]

    def run(self, *words: str) -> str:
        """Return what ``kubectl`` prints.

        Raises:
            Failed: It cannot be run, does not end, or refuses.
        """
        command = self.command(*words)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except FileNotFoundError:
            problem = "kubectl is not on your PATH; install it, or name it in KUBECTL"
        except subprocess.TimeoutExpired:
            problem = f"kubectl {words[0]} did not end within {SECONDS:.0f} s"
        else:
            if done.returncode == 0:
                return done.stdout
            problem = done.stderr.strip() or f"kubectl ended with {done.returncode}"
        raise Failed(problem)

    def _read(self, *words: str) -> Any:
        said = self.run(*words, "--output=json")
        try:
            return msgspec.json.decode(said)
        except msgspec.DecodeError as error:
            raise Failed(f"kubectl {words[0]} printed no JSON: {error}") from error

    def cluster(self, name: str | None) -> dict[str, Any]:
        """Return the NanoCluster called *name*, or the only one.

        Raises:
            Failed: There is no such, or not only one.
        """
        if name is not None:
            found: dict[str, Any] = self._read("get", RESOURCE, name)
            return found
        items: list[dict[str, Any]] = self._read("get", RESOURCE)["items"]
        if len(items) == 1:
            return items[0]
        names = ", ".join(item["metadata"]["name"] for item in items)
        problem = (
            f"which one? There are {names}" if items else "there is no NanoCluster"
        )
        raise Failed(f"{problem}; -n says in which namespace to look")

    def pods(self, cluster: str, role: str | None = None) -> list[Pod]:
        """Return the pods of *cluster*, or of *role* there: master, gates, backends."""
        items = self._read("get", "pods", f"--selector={CLUSTER}={cluster}")["items"]
        pods = [Pod.of(item) for item in items]
        chosen = [pod for pod in pods if role in (None, pod.role)]
        return sorted(chosen, key=lambda pod: (_rank(pod.role), pod.role, pod.name))

    def ask(self, pod: Pod, path: str, method: str = "GET") -> Asked:
        """Ask the node in *pod* for *path* of its control port."""
        if pod.phase not in ALIVE:
            return Asked(pod, {}, pod.phase.lower())
        inside = ["nanoctl", "control", f"--method={method}", path]
        try:
            said = self.run("exec", pod.name, "--container=node", "--", *inside)
            return Asked(pod, msgspec.json.decode(said, type=dict[str, Any]))
        except (Failed, msgspec.DecodeError) as error:
            lines = str(error).splitlines() or ["no answer"]
            return Asked(pod, {}, lines[0])

    def metrics(self, pod: Pod) -> str:
        """Return the metrics of the node in *pod*, by the API server's proxy.

        Raises:
            Failed: It does not answer, or one may not ask.
        """
        if pod.phase not in ALIVE:
            raise Failed(pod.phase.lower())
        place = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}:{OBSERVE_PORT}"
        return self.run("get", f"--raw={place}/proxy/metrics")

    def ask_all(self, pods: Sequence[Pod], path: str) -> list[Asked]:
        """Ask all *pods*, some of them side by side; in their order."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda pod: self.ask(pod, path), pods))
