"""A real Kubernetes API server for tests: etcd, kube-apiserver and its controllers.

Everything runs as plain processes on loopback, from the folder that the variable
``KUBEBUILDER_ASSETS`` names, the way operator projects do it.  There is no kubelet:
Deployments get ReplicaSets and these get pods, but a pod stays Pending for ever, and
a test that needs a ready one patches its status itself and says so.

This module knows how to start, watch and stop those processes; it knows nothing of
NanoCluster.  ``conftest.py`` beside it owns the one instance of a test session.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import trustme

__all__ = ["ApiServer", "AuditEvent", "missing"]

START_SECONDS: Final = 90.0  # ready after 5 on an idle machine; CI's builds beside it
STOP_SECONDS: Final = 20.0
COMMAND_SECONDS: Final = 60.0
REQUIRED: Final = ("etcd", "kube-apiserver", "kubectl")

# What a Deployment, its clean-up and a service account's token need, and no more:
# each controller costs memory and watches.
CONTROLLERS: Final = (
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
)

AUDIT_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request as the API server's audit log tells it.

    Attributes:
        user: Who asked: a user name or ``system:serviceaccount:NAMESPACE:NAME``.
        verb: ``get``, ``list``, ``watch``, ``create``, ``update``, ``patch`` …
        group: The API group, empty for the core group.
        resource: The plural name, with ``/subresource`` where there is one; empty
            for requests that name no resource, such as ``/version``.
        namespace: Empty for cluster-wide requests.
        name: Empty for lists, watches and creations by generated name.
        code: The HTTP status of the answer.
        at: When the answer was finished, as the log writes it (RFC 3339).
        agent: The client's ``User-Agent``.
    """

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    at: str
    agent: str

    @classmethod
    def parse(cls, line: str) -> AuditEvent:
        """Read one line of the log."""
        event = json.loads(line)
        target = event.get("objectRef", {})
        below = target.get("subresource", "")
        return cls(
            user=event["user"]["username"],
            verb=event["verb"],
            group=target.get("apiGroup", ""),
            resource=target.get("resource", "") + (f"/{below}" if below else ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            at=event["stageTimestamp"],
            agent=event.get("userAgent", ""),
        )


def missing() -> str | None:
    """Say what the machine lacks and how to get it, or nothing when all is there."""
    folder = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not folder:
        return "KUBEBUILDER_ASSETS is not set: make tools says how to get the binaries"
    absent = [name for name in REQUIRED if not (Path(folder) / name).exists()]
    if absent:
        return f"KUBEBUILDER_ASSETS has no {', '.join(absent)}: see make tools"
    return None


class ApiServer:
    """One API server with its own etcd, data, certificates and ports.

    Several may run side by side.  Whoever starts one stops it; :meth:`stop` is safe
    to call at any time, more than once, and after a failed start.

    Attributes:
        kubeconfig: A file that makes its holder an administrator.
        audit_log: Where the API server writes what it was asked.
        url: Its address.
        has_controllers: Whether kube-controller-manager runs too.  Without it (as in
            some distributions of the binaries) nothing turns a Deployment into pods
            and nothing collects orphans.
    """

    def __init__(self, binaries: Path, folder: Path, admission: str = "") -> None:
        """Prepare certificates and files in the empty *folder*; start nothing.

        *admission* names plugins to switch on beyond Kubernetes' own choice.
        """
        self._admission = admission
        self._binaries = binaries
        self._folder = folder
        self._processes: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        self._server_port = _free_port()
        self.url = f"https://127.0.0.1:{self._server_port}"
        self.audit_log = folder / "audit.log"
        self.has_controllers = (binaries / "kube-controller-manager").exists()
        self.kubeconfig = self._user("admin", group="system:masters")

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Start everything and return when the API server is ready.

        Raises:
            RuntimeError: A process ended or was not ready in time; with its log.
        """
        deadline = time.monotonic() + START_SECONDS
        self._start_server(self._start_etcd())
        self._until(self._is_ready, deadline, "kube-apiserver")
        if self.has_controllers:
            self._start_controllers()
            self._until(self._has_default_account, deadline, "kube-controller-manager")

    def stop(self) -> None:
        """End every process that was started, the last one first."""
        while self._processes:
            _, process, log = self._processes.pop()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

    # ------------------------------------------------------------ use

    @property
    def environment(self) -> dict[str, str]:
        """What kubectl or helm needs to find the server, and leave nothing behind."""
        cache = self._folder / "cache"
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(cache / "kubectl"),
            "HELM_CACHE_HOME": str(cache / "helm"),
            "HELM_CONFIG_HOME": str(cache / "helm"),
            "HELM_DATA_HOME": str(cache / "helm"),
        }

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return what it printed.

        Raises:
            RuntimeError: It failed; with what it said.
        """
        done = subprocess.run(
            [self._binaries / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments],
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            message = f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
            raise RuntimeError(message)
        return done.stdout

    def service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig that speaks as an existing service account.

        Its token is a real one, as a pod would get it, so that RBAC applies.
        """
        token = self.kubectl("create", "token", name, "--namespace", namespace)
        return self._write_kubeconfig(f"{namespace}-{name}", {"token": token.strip()})

    def audit(self) -> list[AuditEvent]:
        """Return every request answered so far, the oldest first.

        A test that wants only its own requests remembers the length before.
        """
        lines = self.audit_log.read_text().splitlines()
        return [AuditEvent.parse(line) for line in lines]

    # ------------------------------------------------------------ processes

    def _start_etcd(self) -> str:
        client, peer = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
        self._spawn(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",  # the data is worth nothing after the tests
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        return client

    def _start_server(self, etcd: str) -> None:
        certificate, key = self._issue("server", "127.0.0.1", "localhost")
        policy = self._folder / "audit-policy.yaml"
        policy.write_text(AUDIT_POLICY)
        arguments = [
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._server_port}",
            f"--client-ca-file={self._folder / 'ca.pem'}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--authorization-mode=Node,RBAC",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
        ]
        if not self.has_controllers:  # nobody makes the accounts that it asks for
            arguments.append("--disable-admission-plugins=ServiceAccount")
        if self._admission:
            arguments.append(f"--enable-admission-plugins={self._admission}")
        self._spawn("kube-apiserver", *arguments)

    def _start_controllers(self) -> None:
        user = "system:kube-controller-manager"
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self._user(user, group='system:masters')}",
            f"--controllers={','.join(CONTROLLERS)}",
            f"--root-ca-file={self._folder / 'ca.pem'}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def _spawn(self, name: str, *arguments: str) -> None:
        log = (self._folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [self._binaries / name, *arguments],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then calls stop()
        )
        self._processes.append((name, process, log))

    # ------------------------------------------------------------ readiness

    def _until(
        self, condition: Callable[[], bool], deadline: float, waiting_for: str
    ) -> None:
        while not condition():
            for name, process, _ in self._processes:
                if process.poll() is not None:
                    message = f"{name} ended with {process.returncode}"
                    raise RuntimeError(f"{message}\n{self._log_tail(name)}")
            if time.monotonic() > deadline:
                message = f"{waiting_for} was not ready in {START_SECONDS:.0f} s"
                raise RuntimeError(f"{message}\n{self._log_tail(waiting_for)}")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self._folder / "ca.pem"))
        try:
            # anonymous, which the default policy allows for the health endpoints
            with urllib.request.urlopen(
                f"{self.url}/readyz", timeout=2.0, context=trust
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def _has_default_account(self) -> bool:
        try:
            self.kubectl("get", "serviceaccount", "default", "--output=name")
        except RuntimeError:
            return False
        return True

    def _log_tail(self, name: str) -> str:
        lines = (self._folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-25:])

    # ------------------------------------------------------------ identities

    def _issue(
        self, name: str, *hosts: str, user: str | None = None, group: str | None = None
    ) -> tuple[Path, Path]:
        issued = self._authority.issue_cert(
            *hosts, common_name=user, organization_name=group
        )
        certificate, key = (self._folder / f"{name}.{end}" for end in ("crt", "key"))
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def _user(self, user: str, *, group: str) -> Path:
        name = user.replace(":", "-")
        # Go refuses a certificate whose list of hosts is there but empty
        certificate, key = self._issue(name, "localhost", user=user, group=group)
        return self._write_kubeconfig(
            name,
            {
                "client-certificate-data": _encoded(certificate),
                "client-key-data": _encoded(key),
            },
        )

    def _write_kubeconfig(self, name: str, user: dict[str, str]) -> Path:
        server = {
            "server": self.url,
            "certificate-authority-data": _encoded(self._folder / "ca.pem"),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": name, "user": user}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": name}}
            ],
            "current-context": "test",
        }
        path = self._folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(content))  # JSON is YAML
        return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _free_port(candidates: Sequence[int] = range(20000, 30000)) -> int:
    """Find a port below the range from which the kernel serves outgoing connections.

    One of that range could be taken by anybody between this look and the start.
    """
    for port in random.sample(candidates, k=100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    message = "none of 100 ports of 127.0.0.1 is free: is something leaking sockets?"
    raise RuntimeError(message)
