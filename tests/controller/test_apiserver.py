"""The API server fixture itself: what the other tests here stand on."""

from __future__ import annotations

import json

import pytest

from .apiserver import ApiServer

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
