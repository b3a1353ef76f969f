"""The API server fixture itself: what the other tests here stand on."""

from __future__ import annotations

import json

import pytest

from nano_operator.errors import TerminatingError
from nano_operator.kube import Kube
from nano_operator.objects import Kind, Object

from .apiserver import ApiServer
from .operating import configured, grant

pytestmark = pytest.mark.apiserver


def test_the_administrator_may_do_everything(apiserver: ApiServer) -> None:
    assert apiserver.kubectl("auth", "can-i", "*", "*", "-A").strip() == "yes"


def test_a_service_account_has_no_rights_of_its_own(apiserver: ApiServer) -> None:
    kubeconfig = apiserver.service_account("default", "default")
    with pytest.raises(RuntimeError, match="forbidden"):
        apiserver.kubectl(f"--kubeconfig={kubeconfig}", "get", "pods")


def test_the_audit_log_tells_who_asked_for_what(apiserver: ApiServer) -> None:
    before = len(apiserver.audit())
    apiserver.kubectl("create", "configmap", "seen", "--from-literal=a=b")
    apiserver.kubectl("delete", "configmap", "seen")
    asked = [
        (event.verb, event.group, event.resource, event.namespace, event.code)
        for event in apiserver.audit()[before:]
        if event.user == "admin" and event.verb in {"create", "delete"}
    ]
    assert asked == [
        ("create", "", "configmaps", "default", 201),
        ("delete", "", "configmaps", "default", 200),
    ]


def test_a_deployment_becomes_pods_where_controllers_run(apiserver: ApiServer) -> None:
    if not apiserver.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    apiserver.kubectl("create", "deployment", "idle", "--image=idle", "--replicas=2")
    try:
        wait = ("wait", "--for=create", "--timeout=30s", "pod", "-l", "app=idle")
        apiserver.kubectl(*wait)
        pods = json.loads(apiserver.kubectl("get", "pods", "-l", "app=idle", "-o=json"))
        assert {pod["status"]["phase"] for pod in pods["items"]} == {"Pending"}
    finally:
        apiserver.kubectl("delete", "deployment", "idle")


async def test_nothing_is_made_in_a_namespace_that_is_being_deleted(
    apiserver: ApiServer,
) -> None:
    apiserver.kubectl("create", "namespace", "leaving")
    kubeconfig = grant(apiserver, "default", "maker")
    held: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "held",
            "namespace": "leaving",
            "finalizers": ["tests/held"],
        },
    }
    apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(held))
    configuration = await configured(kubeconfig)
    apiserver.kubectl("delete", "namespace", "leaving", "--wait=false")
    try:
        async with Kube(configuration) as kube:
            new = {**held, "metadata": {"name": "new", "namespace": "leaving"}}
            for make in (kube.apply, kube.create):
                with pytest.raises(TerminatingError, match="terminated"):
                    await make(Kind.CONFIG_MAP.resource, new)
            nowhere = {**held, "metadata": {"name": "new", "namespace": "nowhere"}}
            with pytest.raises(TerminatingError, match="not found"):
                await kube.create(Kind.CONFIG_MAP.resource, nowhere)
    finally:
        free = '--patch={"metadata": {"finalizers": null}}'
        apiserver.kubectl("patch", "cm", "held", "-n", "leaving", "--type=merge", free)
