"""Certificates that are issued, on a real API server; the clocks are the test's.

The operator has exactly the rights of ``CALLS``.  There is no kubelet: pods are
played.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

import pytest
from cryptography import x509

from nano_manifest import crd
from nano_operator.certificates.reading import data_of
from nano_operator.controller import Key
from nano_operator.errors import ConflictError
from nano_operator.kube import Kube
from nano_operator.names import ROTATE
from nano_operator.objects import Kind, Object
from nano_operator.reconcile import Reconciler

from .apiserver import ApiServer
from .operating import configured, grant, look
from .test_operator_process import let_pods_run
from .worlds import cluster, inner

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(300)]

SPACE: Final = "secure"
KEY: Final = Key(SPACE, "arena")
SECRETS: Final = {
    "arena-authority": "Opaque",
    "arena-nodes-tls": "kubernetes.io/tls",
    "arena-master-tls": "kubernetes.io/tls",
}


@pytest.fixture(scope="module")
def server(apiserver: ApiServer) -> ApiServer:
    if not apiserver.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    apiserver.kubectl("create", "namespace", SPACE)
    apiserver.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd()))
    name = "crd/nanoclusters.nanocluster.io"
    apiserver.kubectl("wait", name, "--for=condition=Established", "--timeout=30s")
    return apiserver


@pytest.fixture(scope="module")
def kubeconfig(server: ApiServer) -> Path:
    return grant(server, SPACE, "issuer")


class Operator:
    """One operator in this process, whose clocks go as the test says."""

    def __init__(self, kube: Kube) -> None:
        self.now = datetime.now(UTC)
        self.elapsed = 0.0
        self.look = Reconciler(
            kube,
            "node:0",
            clock=lambda: self.now,
            elapsed=lambda: self.elapsed,
        )

    async def rest(self, server: ApiServer) -> None:
        """Look, and let pods run, until the cluster is ready."""
        for _ in range(200):
            await self.look(KEY)
            let_pods_run(server, space=SPACE)
            if condition(server, "Ready") == "AllReady":
                return
        raise AssertionError("the cluster does not become ready")

    async def after(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.elapsed += seconds
        await self.look(KEY)


def condition(server: ApiServer, name: str) -> str:
    """Return the reason of a condition."""
    status = look(server, SPACE, "nano", "arena").get("status", {})
    entries = cast("list[Object]", cast("Object", status).get("conditions", []))
    return next((str(it["reason"]) for it in entries if it["type"] == name), "")


def secret(server: ApiServer, name: str) -> dict[str, bytes]:
    return dict(data_of(look(server, SPACE, "secret", name)))


def believed(server: ApiServer, name: str = "arena-nodes-tls") -> int:
    return len(x509.load_pem_x509_certificates(secret(server, name)["ca.crt"]))


@pytest.fixture
async def kube(kubeconfig: Path) -> AsyncIterator[Kube]:
    configuration = await configured(kubeconfig)
    async with Kube(configuration) as kube:
        yield kube


@pytest.fixture
async def operator(server: ApiServer, kube: Kube) -> AsyncIterator[Operator]:
    """An operator, and a cluster of its own that is ready."""
    resource = cluster("arena", clusterTls={"issued": {"settleSeconds": 120}})
    resource["metadata"] = {"name": "arena", "namespace": SPACE}
    server.kubectl("apply", "-f", "-", stdin=json.dumps(resource))
    operator = Operator(kube)
    await operator.rest(server)
    yield operator
    server.kubectl("delete", "nano", "arena", "-n", SPACE)
    ours = "-lapp.kubernetes.io/managed-by=nanocluster-operator"
    kinds = "deployments,services,configmaps,secrets,networkpolicies"
    server.kubectl("delete", kinds, "-n", SPACE, ours)


async def test_a_rotation_writes_secrets_and_replaces_no_pod(
    server: ApiServer, operator: Operator
) -> None:
    uid = inner(look(server, SPACE, "nano", "arena"), "metadata.uid")
    for name, kind in SECRETS.items():
        made = look(server, SPACE, "secret", name)
        assert made["type"] == kind
        assert inner(made, "metadata.ownerReferences.0.uid") == uid
    deployments = ("arena-master", "arena-gate", "arena-room")
    before = [look(server, SPACE, "deployment", name) for name in deployments]
    mounted = json.dumps([inner(it, "spec.template") for it in before])
    assert "arena-nodes-tls" in mounted
    assert "arena-authority" not in mounted
    pods = server.kubectl("get", "pods", "-n", SPACE, "-o=name")

    server.kubectl("annotate", "nano", "arena", "-n", SPACE, f"{ROTATE}=monday")
    seen = []
    for _ in range(5):
        await operator.after(60.0)
        seen.append((condition(server, "Encrypted"), believed(server)))
        assert condition(server, "Ready") == "AllReady"
    assert seen == [
        ("RotatingAuthority", 2),  # both are believed, and the old one signs
        ("RotatingAuthority", 2),
        ("RotatingAuthority", 2),  # the new one signs
        ("RotatingAuthority", 2),
        ("CertificatesIssued", 1),
    ]
    after = [look(server, SPACE, "deployment", name) for name in deployments]
    for old, new in zip(before, after, strict=True):
        assert inner(new, "metadata.generation") == inner(old, "metadata.generation")
        assert inner(new, "spec.template") == inner(old, "spec.template")
    assert server.kubectl("get", "pods", "-n", SPACE, "-o=name") == pods
    told = server.kubectl("get", "events", "-n", SPACE, "-o=json")
    reasons = [it["reason"] for it in json.loads(told)["items"]]
    assert reasons.count("RotatingAuthority") == 2
    assert reasons.count("CertificatesIssued") == 2


async def test_what_is_deleted_comes_back(
    server: ApiServer, operator: Operator
) -> None:
    old = secret(server, "arena-nodes-tls")
    server.kubectl("delete", "secret", "arena-nodes-tls", "-n", SPACE)
    await operator.after(1.0)
    new = secret(server, "arena-nodes-tls")
    assert new["tls.crt"] != old["tls.crt"]
    assert new["ca.crt"] == old["ca.crt"]
    server.kubectl("delete", "secret", "arena-authority", "-n", SPACE)
    await operator.after(1.0)
    assert secret(server, "arena-nodes-tls")["tls.crt"] == new["tls.crt"]
    assert believed(server) == 2
    await operator.after(120.0)
    await operator.after(120.0)
    assert condition(server, "Encrypted") == "CertificatesIssued"
    assert believed(server) == 1


async def test_who_has_read_an_older_secret_does_not_overwrite_the_newer(
    server: ApiServer, operator: Operator, kube: Kube
) -> None:
    late = await kube.get(Kind.SECRET.resource, SPACE, "arena-authority")
    assert late is not None
    server.kubectl("annotate", "nano", "arena", "-n", SPACE, f"{ROTATE}=monday")
    await operator.after(1.0)
    there = secret(server, "arena-authority")
    head = cast("Object", late["metadata"])
    del head["managedFields"]
    late |= {"apiVersion": "v1", "kind": "Secret"}
    with pytest.raises(ConflictError):
        await kube.apply(Kind.SECRET.resource, late)
    del head["resourceVersion"], head["uid"]
    with pytest.raises(ConflictError):
        await kube.create(Kind.SECRET.resource, late)
    assert secret(server, "arena-authority") == there
