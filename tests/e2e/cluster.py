"""A Kubernetes cluster with pods, used the way a user would: by its commands.

Either a kind cluster that is made for the tests and deleted after them, or the one
that ``KUBECONFIG`` names.  This module knows commands and how long they may take; it
knows nothing of what the tests look for.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

__all__ = ["ROOT", "Cluster", "CommandError", "Object", "run", "until"]

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "kind-config.yaml"
SYSTEM: Final = "nanocluster-system"  # where the operator lives
OPERATOR: Final = "app.kubernetes.io/name=nanocluster-operator"
RESTRICTED: Final = "pod-security.kubernetes.io/enforce=restricted"
REFUSALS: Final = {"FailedCreate", "FailedScheduling", "Failed", "BackOff", "Evicted"}

SLOW: Final = "failed to sync"  # a kubelet that has not seen a Secret yet; it goes on

log = logging.getLogger("e2e")

T = TypeVar("T")

Object = dict[str, object]

# namespace and name of each pod outside Kubernetes' own namespaces
OURS: Final = (
    "go-template={{range .items}}{{$n := .metadata.namespace}}"
    '{{if and (ne $n "kube-system") (ne $n "local-path-storage")}}'
    '{{$n}} {{.metadata.name}}{{"\\n"}}{{end}}{{end}}'
)


class CommandError(Exception):
    """A command failed; the text tells which one and what it said."""


def run(
    *command: str | Path,
    stdin: str | None = None,
    seconds: float = 60.0,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command from the root of the checkout and return what it printed.

    Raises:
        CommandError: It failed, or took more than *seconds*.
    """
    words = " ".join(str(each) for each in command)
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        message = f"{words}: not done after {seconds:.0f} s\n{expired.stderr!r}"
        raise CommandError(message) from None
    took = time.monotonic() - start
    if took > 1.0:  # the others are looks that a wait repeats
        log.info("%5.1f s  %s", took, words)
    if done.returncode:
        message = f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        raise CommandError(message)
    return done.stdout


def until(look: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """Look again and again until it is true, and return what was seen.

    Raises:
        AssertionError: It was not within *seconds*; with the last look.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds:.0f} s: {seen!r}"
        time.sleep(0.25)
    return seen


@dataclass(slots=True)
class Cluster:
    """One cluster, and the commands that a user has for it.

    Attributes:
        kubeconfig: A file of the tests' own, so that nothing else follows it.
        name: kind's name for it; empty for a cluster that somebody else made.
        measured: Times worth telling at the end, by what they are of.
    """

    kubeconfig: Path
    name: str = ""
    measured: dict[str, float] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path) -> Cluster:
        """Make the cluster of ``kind-config.yaml``, with all its nodes ready.

        Raises:
            CommandError: kind could not, or has one of that name already.
        """
        name = next(
            line.removeprefix("name: ").strip()
            for line in CONFIG.read_text().splitlines()
            if line.startswith("name: ")
        )
        if name in run("kind", "get", "clusters").split():
            message = (
                f"there is a kind cluster called {name}: delete it (kind delete "
                f"cluster --name {name}) or test on it (E2E_CLUSTER=existing)"
            )
            raise CommandError(message)
        cluster = cls(folder / "kubeconfig", name)
        start = time.monotonic()
        try:
            run(
                *("kind", "create", "cluster", "--config", CONFIG, "--wait", "180s"),
                *("--kubeconfig", cluster.kubeconfig),
                seconds=400,
            )
            # kind waits for the control plane alone
            nodes = ("wait", "--for=condition=Ready", "nodes", "--all")
            cluster.kubectl(*nodes, "--timeout=180s", seconds=200)
        except BaseException:
            cluster.delete()
            raise
        cluster.measured["kind cluster"] = time.monotonic() - start
        return cluster

    @classmethod
    def existing(cls, folder: Path) -> Cluster:
        """Take the cluster that kubectl speaks to, by a copy of its kubeconfig."""
        cluster = cls(folder / "kubeconfig")
        view = run("kubectl", "config", "view", "--raw", "--flatten", "--minify")
        cluster.kubeconfig.write_text(view)
        cluster.kubeconfig.chmod(0o600)
        return cluster

    def delete(self) -> None:
        """Delete a cluster that was made here; leave one that was not."""
        if not self.name:
            return
        command = ("kind", "delete", "cluster", "--name", self.name)
        try:
            run(*command, "--kubeconfig", self.kubeconfig, seconds=200)
        except CommandError as failed:
            # an engine may trip over a container that stops at the same time
            log.info("once more: %s", failed)
            run(*command, "--kubeconfig", self.kubeconfig, seconds=200)

    def load(self, images: Sequence[str]) -> None:
        """Put images of this machine into every node; others pull theirs."""
        context = self.kubectl("config", "current-context").strip()
        name = self.name or context.removeprefix("kind-")
        if context == f"kind-{name}":
            start = time.monotonic()
            for image in images:  # on podman kind mixes several of one call up
                load = ("kind", "load", "docker-image", "--name", name, image)
                run(*load, seconds=200)
            took = time.monotonic() - start
            self.measured["kind load"] = self.measured.get("kind load", 0.0) + took

    def kubectl(
        self, *arguments: str, stdin: str | None = None, seconds: float = 60.0
    ) -> str:
        """Run kubectl and return what it printed."""
        return run(
            "kubectl", *arguments, stdin=stdin, seconds=seconds, env=self.environment
        )

    def nano(self, *words: str) -> str:
        """Run ``kubectl nano`` as kubectl finds it: a program on the PATH."""
        scripts = sysconfig.get_path("scripts")
        path = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
        return run("kubectl", "nano", *words, env={**self.environment, **path})

    def helm(self, *arguments: str, seconds: float = 240.0) -> str:
        """Run helm and return what it printed."""
        return run("helm", *arguments, seconds=seconds, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find the cluster."""
        cache = self.kubeconfig.with_name("kubectl-cache")
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(cache)}

    def objects(self, kind: str, *arguments: str) -> list[Object]:
        """Return every object of a kind, narrowed by kubectl's *arguments*."""
        found = json.loads(self.kubectl("get", kind, "--output=json", *arguments))
        return cast(list[Object], found["items"])

    def pods(self, selector: str, *arguments: str) -> set[str]:
        """Return the names of pods by their labels, those that leave among them."""
        names = ("get", "pods", "--output=name", f"--selector={selector}")
        said = self.kubectl(*names, *arguments).split()
        return {name.removeprefix("pod/") for name in said}

    @contextmanager
    def space(self, name: str) -> Iterator[None]:
        """Have a namespace of that name, under the strictest pod security."""
        self.kubectl("create", "namespace", name)
        try:
            self.kubectl("label", "namespace", name, RESTRICTED)
            yield
        finally:
            self.kubectl("delete", "namespace", name, seconds=180)

    def denials(self, namespace: str) -> list[str]:
        """Return what was refused in *namespace*, or to the operator.

        By pod security, access rights or quota, to whomever; events tell, and the logs
        of the operators that run.
        """
        events = [
            f"{event['reason']}: {event['message']}"
            for each in (SYSTEM, namespace)
            for event in self.objects("events", "--namespace", each)
        ]
        found = [it for it in events if it.split(":")[0] in REFUSALS and SLOW not in it]
        logs = ("logs", "--namespace", SYSTEM, "--tail=-1", "--selector", OPERATOR)
        said = [*events, *self.kubectl(*logs).splitlines()]
        return found + [it for it in said if "forbidden" in it.lower()]

    def diagnosis(self) -> str:
        """Tell all that helps to see why a test failed."""
        looks = (
            ("get", "nanoclusters,deployments,pods,services", "-A", "-o", "wide"),
            ("get", "nodes,endpointslices", "-A", "-o", "wide"),
            ("get", "nanoclusters", "-A", "-o", "yaml"),
            ("get", "events", "-A", "--sort-by=.lastTimestamp"),
        )
        told = [self._look(*look) for look in looks]
        for pod in self.kubectl("get", "pods", "-A", "-o", OURS).splitlines():
            namespace, name = pod.split()
            logs = ("logs", "--tail=150", "-n", namespace, name)
            told += [self._look(*logs), self._look(*logs, "--previous")]
        return "\n".join(told)

    def _look(self, *arguments: str) -> str:
        try:
            said = self.kubectl(*arguments)
        except CommandError as failed:
            said = str(failed)
        return f"--- kubectl {' '.join(arguments)}\n{said}"
