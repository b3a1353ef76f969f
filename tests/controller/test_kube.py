"""The wrapper around the API, against a real HTTP server that plays one.

What only a real API server can show is in ``test_operator_process.py``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from nano_operator.crd import CRDS, install
from nano_operator.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    RefusedError,
    SetupError,
    TerminatingError,
    UnavailableError,
)
from nano_operator.kube import CALLS, LONGEST_PAUSE_SECONDS, Kube, load_configuration
from nano_operator.objects import CLUSTERS, Kind, Object, Resource

GATE: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "gate", "namespace": "demo"},
}
DEPLOYMENTS = Kind.DEPLOYMENT.resource


@dataclass
class Server:
    """Answers in the given order, the last one for ever; remembers what was asked."""

    answers: list[tuple[int, object, dict[str, str]]] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[object] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def wait(self, seconds: float) -> None:
        """Remember a pause instead of making it."""
        self.waits.append(seconds)

    def say(self, status: int, body: object = None, **headers: str) -> None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, body or {}, fields))

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        status, body, headers = (
            self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        )
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def talking(server: Server) -> AsyncIterator[Kube]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application) as running:
        url = str(running.make_url("")).rstrip("/")
        async with Kube(Configuration(host=url), sleep=server.wait) as kube:
            yield kube


@pytest.fixture
def server() -> Server:
    return Server()


async def test_an_apply_names_its_content_type_its_manager_and_force(
    server: Server,
) -> None:
    server.say(200, GATE)
    async with talking(server) as kube:
        assert await kube.apply(DEPLOYMENTS, GATE) == GATE
    (request,) = server.asked
    assert request.method == "PATCH"
    assert request.path == "/apis/apps/v1/namespaces/demo/deployments/gate"
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert dict(request.query) == {
        "fieldManager": "nanocluster-operator",
        "force": "true",
    }
    assert server.bodies == [GATE]


async def test_a_status_has_a_manager_of_its_own(server: Server) -> None:
    server.say(200, {})
    body: Object = {"metadata": {"name": "arena", "namespace": "demo"}}
    async with talking(server) as kube:
        await kube.apply_status(CLUSTERS, body)
    (request,) = server.asked
    assert request.path == (
        "/apis/nanocluster.io/v1alpha1/namespaces/demo/nanoclusters/arena/status"
    )
    assert request.query["fieldManager"] == "nanocluster-operator-status"


async def test_a_removal_is_meant_for_one_object_only(server: Server) -> None:
    server.say(200, {})
    async with talking(server) as kube:
        await kube.delete(DEPLOYMENTS, "demo", "gate", "u-1")
    assert server.asked[0].method == "DELETE"
    body = cast("Object", server.bodies[0])
    assert body["preconditions"] == {"uid": "u-1"}
    assert body["propagationPolicy"] == "Background"


async def test_a_listing_is_read_page_by_page(server: Server) -> None:
    server.say(200, {"metadata": {"continue": "more"}, "items": [{"a": 1}]})
    server.say(200, {"metadata": {}, "items": [{"b": 2}]})
    async with talking(server) as kube:
        found = await kube.list(CLUSTERS, "demo", labels="a=b", name="arena")
    assert found == [{"a": 1}, {"b": 2}]
    first, second = server.asked
    assert first.query["labelSelector"] == "a=b"
    assert first.query["fieldSelector"] == "metadata.name=arena"
    assert second.query["continue"] == "more"


@pytest.mark.parametrize(
    ("resource", "namespace", "path"),
    [
        (CLUSTERS, "", "/apis/nanocluster.io/v1alpha1/nanoclusters"),
        (Kind.SERVICE.resource, "demo", "/api/v1/namespaces/demo/services"),
    ],
)
async def test_a_path_is_that_of_the_resource(
    server: Server, resource: Resource, namespace: str, path: str
) -> None:
    server.say(200, {"metadata": {}, "items": []})
    async with talking(server) as kube:
        assert await kube.list(resource, namespace) == []
    assert server.asked[0].path == path


async def test_what_is_not_there_is_none(server: Server) -> None:
    server.say(404, {"reason": "NotFound"})
    async with talking(server) as kube:
        assert await kube.get(Kind.SECRET.resource, "demo", "token") is None


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [
        (400, RefusedError, 1),
        (401, ApiError, 1),
        (403, RefusedError, 1),
        (404, NotFoundError, 1),
        (409, ConflictError, 1),
        (422, RefusedError, 1),
        (429, UnavailableError, 4),
        (500, UnavailableError, 4),
        (503, UnavailableError, 4),
    ],
)
async def test_each_error_has_its_kind_and_only_busy_servers_are_asked_again(
    server: Server, status: int, kind: type[ApiError], attempts: int
) -> None:
    server.say(status, {"reason": "Why", "message": "because"})
    async with talking(server) as kube:
        with pytest.raises(kind) as caught:
            await kube.apply(DEPLOYMENTS, GATE)
    assert len(server.asked) == attempts
    assert (caught.value.status, caught.value.reason) == (status, "Why")
    assert str(caught.value) == f"patch deployments demo/gate: because ({status})"


@pytest.mark.parametrize(
    ("status", "details"),
    [
        (403, {"causes": [{"reason": "NamespaceTerminating"}]}),
        (404, {"kind": "namespaces", "name": "demo"}),
    ],
)
async def test_what_cannot_be_made_because_the_namespace_goes_is_an_error_of_its_own(
    server: Server, status: int, details: Object
) -> None:
    server.say(status, {"reason": "Why", "details": details})
    async with talking(server) as kube:
        with pytest.raises(TerminatingError):
            await kube.apply(DEPLOYMENTS, GATE)
    assert len(server.asked) == 1


@pytest.mark.parametrize("details", [None, {}, {"causes": None}, "text", {"causes": 1}])
async def test_details_of_any_form_do_not_hide_an_error(
    server: Server, details: object
) -> None:
    server.say(403, {"reason": "Forbidden", "details": details})
    async with talking(server) as kube:
        with pytest.raises(RefusedError):
            await kube.apply(DEPLOYMENTS, GATE)


async def test_a_value_of_the_wrong_type_is_refused_though_the_server_says_500(
    server: Server,
) -> None:
    said = "failed to create typed patch object (demo/gate; …): .spec.replicas: …"
    server.say(500, {"message": said, "code": 500})
    async with talking(server) as kube:
        with pytest.raises(RefusedError, match=r"spec\.replicas"):
            await kube.apply(DEPLOYMENTS, GATE)
    assert len(server.asked) == 1


async def test_a_busy_server_is_asked_again_until_it_answers(server: Server) -> None:
    server.say(503)
    server.say(429, None, Retry_After="0")
    server.say(200, GATE)
    async with talking(server) as kube:
        assert await kube.apply(DEPLOYMENTS, GATE) == GATE
    assert len(server.asked) == 3


async def test_the_server_says_how_long_to_wait(server: Server) -> None:
    server.say(429, None, Retry_After="7")
    server.say(429, None, Retry_After="3600")
    server.say(200, GATE)
    async with talking(server) as kube:
        await kube.apply(DEPLOYMENTS, GATE)
    assert 7.0 <= server.waits[0] <= 7.0 * 1.2
    assert server.waits[1] == LONGEST_PAUSE_SECONDS


async def test_without_such_a_word_the_pauses_grow(server: Server) -> None:
    server.say(503)
    async with talking(server) as kube:
        with pytest.raises(UnavailableError):
            await kube.apply(DEPLOYMENTS, GATE)
    for wait, least in zip(server.waits, (0.5, 1.0, 2.0), strict=True):
        assert least <= wait <= least * 1.2


async def test_a_server_that_is_not_there_is_unavailable(unused_tcp_port: int) -> None:
    configuration = Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    async with Kube(configuration, sleep=Server().wait) as kube:
        with pytest.raises(UnavailableError, match="list nanoclusters demo"):
            await kube.list(CLUSTERS, "demo")


async def test_an_answer_of_something_else_is_shown(server: Server) -> None:
    server.say(404, "<html>proxy</html>")
    async with talking(server) as kube:
        with pytest.raises(NotFoundError, match="proxy"):
            await kube.list(CLUSTERS, "demo")


async def test_a_call_that_rbac_does_not_know_of_is_not_made(server: Server) -> None:
    async with talking(server) as kube:
        with pytest.raises(AssertionError, match="list secrets is not in CALLS"):
            await kube.list(Kind.SECRET.resource, "demo")
    assert server.asked == []


def test_no_call_is_a_wildcard() -> None:
    words = {word for key, verbs in CALLS.items() for word in (*key, *verbs)}
    assert not [word for word in words if "*" in word]


# ------------------------------------------------ the CRD

DEFINITION: Object = {"metadata": {"name": "nanoclusters.nanocluster.io"}}
SERVED: Object = {"resources": [{"name": "nanoclusters"}]}


def _established(status: str) -> Object:
    return {"status": {"conditions": [{"type": "Established", "status": status}]}}


async def test_the_definition_is_applied_and_waited_for(server: Server) -> None:
    server.say(200)
    server.say(200, {"status": {"conditions": None}})  # seen right after the making
    server.say(200, _established("False"))
    server.say(200, _established("True"))
    server.say(404)
    server.say(200, _established("True"))
    server.say(200, SERVED)
    async with talking(server) as kube:
        await install(kube, DEFINITION)
    assert [request.method for request in server.asked] == ["PATCH", *["GET"] * 6]
    assert server.asked[0].path == (
        f"/apis/{CRDS.group}/v1/{CRDS.plural}/nanoclusters.nanocluster.io"
    )


async def test_a_definition_that_somebody_else_installed_is_enough(
    server: Server,
) -> None:
    server.say(403, {"message": "forbidden"})
    server.say(200, SERVED)
    async with talking(server) as kube:
        await install(kube, DEFINITION)


async def test_without_a_definition_and_without_the_right_the_cure_is_told(
    server: Server,
) -> None:
    server.say(403, {"message": "forbidden"})
    server.say(404)
    async with talking(server) as kube:
        with pytest.raises(SetupError, match="kubectl apply --server-side"):
            await install(kube, DEFINITION)


async def test_without_any_cluster_the_cure_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kubernetes.aio.config import kube_config

    # the library reads KUBECONFIG when it is imported
    monkeypatch.setattr(
        kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(SetupError, match="set KUBECONFIG"):
        await load_configuration()
