"""The operator as a process, with exactly the rights of ``CALLS``, for tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final, TypeVar, cast

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from nano_operator.kube import CALLS
from nano_operator.objects import Object
from nano_operator.resources.master import RETURN_SECONDS

from .apiserver import ApiServer

__all__ = ["OperatorProcess", "configured", "eventually", "grant", "look", "ready"]

PATIENCE_SECONDS: Final = 45.0  # nothing takes more than two on an idle machine
DEFINITIONS: Final = "customresourcedefinitions"

# A warning ends the operator, with one exception: aiohttp closes the connections of
# kopf's watches without waiting for the server's TLS goodbye, so on a busy machine
# the process may end before they do.
WARNINGS: Final = "error,ignore::ResourceWarning"

T = TypeVar("T")


def eventually(question: Callable[[], T], what: str) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: It did not become true in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"not so after {PATIENCE_SECONDS:.0f} s: {what}"
            raise AssertionError(message)
        time.sleep(0.1)


def look(server: ApiServer, namespace: str, kind: str, name: str) -> Object:
    """Return an object, or an empty one when it is not there."""
    said = server.kubectl(
        "get", kind, name, "-n", namespace, "-o=json", "--ignore-not-found"
    )
    return cast("Object", json.loads(said)) if said else {}


def ready() -> Object:
    """Return what a kubelet says of a pod that is ready for as long as a master needs.

    Kubernetes' controllers go by the time that it tells.
    """
    since = datetime.now(UTC) - timedelta(seconds=2 * RETURN_SECONDS)
    return {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def grant(
    server: ApiServer, namespace: str, account: str, *, only_here: bool = False
) -> Path:
    """Make a service account that may do what ``CALLS`` says, and nothing else.

    Args:
        server: Where.
        namespace: Of the account.
        account: Its name.
        only_here: Whether the rights end at the namespace; those on the definition
            of the resource, which is in none, are then not given at all.

    Returns:
        A kubeconfig of that account.
    """
    rules: list[Object] = []
    for (group, resource), verbs in CALLS.items():
        rule: Object = {
            "apiGroups": [group],
            "resources": [resource],
            "verbs": sorted(verbs),
        }
        if resource == DEFINITIONS:
            if only_here:
                continue
            rule["resourceNames"] = ["nanoclusters.nanocluster.io"]
        rules.append(rule)
    kind = "Role" if only_here else "ClusterRole"
    head = {"name": f"{namespace}-{account}", "namespace": namespace}
    api = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    role = {"apiGroup": api, "kind": kind, "name": head["name"]}
    for item in (
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        },
        {"apiVersion": f"{api}/v1", "kind": kind, "metadata": head, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{kind}Binding",
            "metadata": head,
            "subjects": [subject],
            "roleRef": role,
        },
    ):
        server.kubectl("apply", "-f", "-", stdin=json.dumps(item))
    return server.service_account(namespace, account)


async def configured(kubeconfig: Path) -> Configuration:
    """Return how the operator's own client reaches the API server of *kubeconfig*."""
    configuration = Configuration()
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(kubeconfig),
        client_configuration=configuration,
        persist_config=False,
    )
    return configuration


class OperatorProcess:
    """``python -m nano_operator``, started and stopped at will.

    Attributes:
        log: What it wrote on standard error, over all its lives.
    """

    def __init__(self, kubeconfig: Path, folder: Path, *arguments: str) -> None:
        self._kubeconfig = kubeconfig
        self._arguments = arguments
        self.log = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0

    def start(self) -> None:
        """Start it and wait until it has looked at all clusters, or stands by."""
        self._begun = len(self.log.read_text()) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = self._spawn(log)
        eventually(self._is_ready, "the operator is ready")

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nano_operator",
                "--health=127.0.0.1:0",
                *self._arguments,
            ],
            env={
                "PATH": os.environ["PATH"],
                "KUBECONFIG": str(self._kubeconfig),
                "PYTHONWARNINGS": WARNINGS,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(by)
        try:
            return self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def told(self) -> str:
        """Return what it logged in its present or last life."""
        return self.log.read_text()[self._begun :]

    def metric(self, name: str) -> float:
        """Return one of its figures; 0 if it is not there yet."""
        for line in self._ask("/metrics").splitlines():
            if line.startswith(f"nanocluster_operator_{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    @property
    def health(self) -> str:
        """Where it serves health and metrics, once it has said so."""
        found = re.search(r"health on (\S+)", self.told())
        return found[1] if found else ""

    def _ask(self, path: str) -> str:
        if not self.health:
            return ""
        try:
            with urllib.request.urlopen(
                f"http://{self.health}{path}", timeout=5.0
            ) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            return ""

    def _is_ready(self) -> bool:
        assert self._process is not None
        code = self._process.poll()
        assert code is None, f"the operator ended with {code}:\n{self.told()}"
        return self._ask("/readyz") in ("ok\n", "standing by\n")
