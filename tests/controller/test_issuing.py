"""Certificates that the operator issues, as it writes them beside everything else."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta
from typing import Final, cast

import pytest

from nano_operator.certificates.machine import Owner
from nano_operator.certificates.reading import data_of
from nano_operator.errors import ConflictError
from nano_operator.names import ROTATE
from nano_operator.objects import Kind, Object
from nano_operator.reconcile import Reconciler

from .test_plan import KEY, NOW, Scene
from .worlds import Write, cluster, inner

ISSUED: Final = {"issued": {"settleSeconds": 60}}
SECRETS: Final = ["arena-authority", "arena-master-tls", "arena-nodes-tls"]


def secured(**spec: object) -> Object:
    return cluster(clusterTls=ISSUED, **spec)


@pytest.fixture
async def scene() -> Scene:
    """A cluster that is ready, with its certificates."""
    scene = Scene(secured())
    await scene.rest()
    return scene


def wish(scene: Scene, word: str) -> None:
    scene.api.annotate(**{ROTATE: word})


def data(scene: Scene, name: str) -> dict[str, bytes]:
    return dict(data_of(scene.api.see(Kind.SECRET, name)))


def pass_by(scene: Scene, seconds: float) -> None:
    scene.now += timedelta(seconds=seconds)
    scene.elapsed += seconds


def patched(writes: list[Write]) -> list[str]:
    return [it.what.removeprefix("Secret ") for it in writes if it.verb == "apply"]


async def test_the_secrets_come_before_the_pods_that_wait_for_them() -> None:
    scene = Scene(secured())
    writes = await scene.look()
    assert writes[:4] == [
        Write("create", "Secret arena-authority"),
        Write("create", "Secret arena-nodes-tls"),
        Write("create", "Secret arena-master-tls"),
        Write("create", "Secret arena-control"),
    ]
    for name in SECRETS:
        secret = scene.api.see(Kind.SECRET, name)
        assert inner(secret, "metadata.ownerReferences.0.uid") == "uid-of-arena"
        kind = "Opaque" if name == "arena-authority" else "kubernetes.io/tls"
        assert secret["type"] == kind


async def test_the_status_says_until_when_and_an_event_tells(scene: Scene) -> None:
    until = "2026-05-31T12:00:00Z, authority until 2031-04-30T12:00:00Z"
    assert scene.condition("Encrypted") == (
        "True",
        "CertificatesIssued",
        f"certificates until {until}",
    )
    assert scene.api.status()["certificates"] == {
        "phase": "Steady",
        "expires": "2026-05-31T12:00:00Z",
        "authorityExpires": "2031-04-30T12:00:00Z",
    }
    told = [event for event in scene.api.events if event[1] == "CertificatesIssued"]
    assert told == [("Normal", "CertificatesIssued", f"certificates until {until}")]
    text = scene.metrics.render().decode()
    labels = '{certificate="nodes",name="arena",namespace="demo"}'
    assert f"certificate_seconds{labels}" in text
    life = float(text.partition(f"certificate_life_seconds{labels} ")[2].split()[0])
    assert timedelta(0) <= timedelta(seconds=life, days=-30) < timedelta(days=1)


async def test_only_secrets_are_written_in_a_rotation(scene: Scene) -> None:
    """So no pod is replaced: the templates are what they were."""
    before = scene.api.see(Kind.DEPLOYMENT, "arena-gate")
    wish(scene, "monday")
    phases = []
    for _ in range(8):
        writes = await scene.look()
        assert {it.verb for it in writes} <= {"apply", "status"}
        assert set(patched(writes)) <= set(SECRETS)
        certificates = cast("Object", scene.api.status()["certificates"])
        phases.append(str(certificates["phase"]))
        assert scene.condition()[0] == "True"
        assert scene.condition("Encrypted")[0] == "True"
        pass_by(scene, 30)
    assert list(dict.fromkeys(phases)) == ["Spreading", "Signing", "Steady"]
    assert scene.api.see(Kind.DEPLOYMENT, "arena-gate") == before
    assert await scene.look() == []
    told = [event[2].partition(";")[0] for event in scene.api.events]
    assert "nodes learn to believe a new authority" in told
    assert "nodes take up certificates of the new authority" in told


async def test_a_certificate_is_renewed_after_two_thirds_of_its_life(
    scene: Scene,
) -> None:
    keys = data(scene, "arena-nodes-tls")["tls.key"]
    pass_by(scene, 19.9 * 86_400)
    assert await scene.look() == []
    pass_by(scene, 0.1 * 86_400)
    assert patched(await scene.look()) == ["arena-nodes-tls", "arena-master-tls"]
    assert data(scene, "arena-nodes-tls")["tls.key"] != keys
    assert scene.condition("Encrypted")[1] == "CertificatesIssued"


async def test_operators_restart_and_jump_and_nothing_is_skipped(scene: Scene) -> None:
    wish(scene, "monday")
    await scene.look()
    scene.now += timedelta(days=3)  # a wall clock is no wait
    assert patched(await scene.look()) == []
    pass_by(scene, 59)
    scene.restart()
    assert patched(await scene.look()) == []
    pass_by(scene, 59)
    assert patched(await scene.look()) == []
    pass_by(scene, 1)
    assert patched(await scene.look()) == [
        "arena-authority",
        "arena-nodes-tls",
        "arena-master-tls",
    ]


async def test_of_two_operators_one_writes(scene: Scene) -> None:
    """The other, who has read before, is refused and looks again."""
    wish(scene, "monday")
    api = scene.api
    real, other = api.apply, Reconciler(api, "", "system", clock=lambda: NOW)
    late: list[object] = []

    async def slow(resource: object, body: Object, *rest: str) -> Object:
        if not late:
            late.append(True)
            await other(KEY)  # is faster
        return await real(cast("Kind", resource), body, *rest)  # type: ignore[arg-type]

    api.apply = slow  # type: ignore[method-assign,assignment]
    with pytest.raises(ConflictError):
        await scene.look()
    authority = data(scene, "arena-authority")
    await scene.look()
    assert data(scene, "arena-authority") == authority


@pytest.mark.parametrize("name", SECRETS)
async def test_a_deleted_secret_comes_back(scene: Scene, name: str) -> None:
    scene.api.drop(Kind.SECRET, name)
    writes = await scene.look()
    assert Write("create", f"Secret {name}") in writes
    assert scene.condition("Encrypted")[0] == "True"


async def test_a_damaged_secret_is_repaired(scene: Scene) -> None:
    secret = scene.api.see(Kind.SECRET, "arena-nodes-tls")
    cast("Object", secret["data"])["tls.crt"] = base64.b64encode(b"no").decode()
    assert patched(await scene.look()) == ["arena-nodes-tls"]
    assert await scene.look() == []


async def test_an_orphan_is_taken_back(scene: Scene) -> None:
    before = data(scene, "arena-authority")
    head = cast("Object", scene.api.see(Kind.SECRET, "arena-authority")["metadata"])
    del head["ownerReferences"]
    assert patched(await scene.look()) == ["arena-authority"]
    assert data(scene, "arena-authority") == before
    owner = "metadata.ownerReferences.0.uid"
    assert inner(scene.api.see(Kind.SECRET, "arena-authority"), owner) == "uid-of-arena"
    assert await scene.look() == []


async def test_a_secret_of_somebody_else_is_left_alone() -> None:
    scene = Scene(secured())
    foreign: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "arena-nodes-tls", "namespace": "demo", "uid": "u"},
        "data": {},
    }
    scene.api.put(Kind.SECRET.resource, foreign)
    await scene.look()
    assert scene.condition()[1] == "NameTaken"
    assert "Secret arena-nodes-tls" in scene.condition()[2]
    assert scene.api.names(Kind.SECRET) == ["arena-nodes-tls"]


async def test_certificates_of_the_users_own_are_not_touched() -> None:
    scene = Scene(cluster(clusterTls={"secretName": "mine"}))
    await scene.rest()
    assert scene.condition("Encrypted")[1] == "OwnCertificates"
    assert scene.api.names(Kind.SECRET) == ["arena-control"]
    assert "certificates" not in scene.api.status()


async def test_a_plain_cluster_says_so() -> None:
    scene = Scene()
    await scene.rest()
    assert scene.condition("Encrypted")[:2] == ("False", "PlainClusterPort")


async def test_what_is_no_longer_asked_for_goes_when_no_pod_needs_it(
    scene: Scene,
) -> None:
    scene.api.edit(clusterTls={"secretName": "mine"})
    writes = await scene.look()
    assert not [it for it in writes if it.verb == "delete"]
    assert set(SECRETS) < set(scene.api.names(Kind.SECRET))
    await scene.rest()
    assert scene.api.names(Kind.SECRET) == ["arena-control"]
    assert "certificates" not in scene.api.status()


async def test_another_lifetime_replaces_no_pod(scene: Scene) -> None:
    scene.api.edit(clusterTls={"issued": {"settleSeconds": 90, "certificateDays": 9}})
    assert patched(await scene.look()) == []


async def test_a_refusal_is_told_and_stops_nothing_else() -> None:
    scene = Scene(secured())
    scene.api.refuse["Secret arena-authority"] = "no"
    with pytest.raises(Exception, match="no"):
        await scene.look()
    assert scene.condition()[1] == "ChildRefused"
    assert scene.condition("Encrypted")[:2] == ("False", "CertificatesMissing")
    assert "arena-master" in scene.api.names(Kind.DEPLOYMENT)


async def test_no_key_gets_into_a_log_or_a_repr(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    scene = Scene(secured())
    await scene.rest()
    assert "wrote Secret arena-authority" in caplog.text
    for owner in ("arena-authority", *(f"arena-{it.value}-tls" for it in Owner)):
        for value in data(scene, owner).values():
            if value:
                assert value.decode() not in caplog.text
    assert "PRIVATE" not in caplog.text
