"""The API server and ``nanoctl`` refuse the same manifests.

The rules and their cases are those of ``tests/manifest/cases.yaml``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from nano_manifest import API_VERSION, KIND, crd

from .apiserver import ApiServer

pytestmark = pytest.mark.apiserver

CASES = yaml.safe_load(
    (Path(__file__).parent.parent / "manifest" / "cases.yaml").read_text()
)
SMALLEST = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": "echo"},
    "spec": {},
}

every_rule = pytest.mark.parametrize("case", CASES, ids=[c["rule"] for c in CASES])


@pytest.fixture(scope="module")
def kubernetes(apiserver: ApiServer) -> ApiServer:
    apiserver.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd()))
    metadata = crd()["metadata"]
    assert isinstance(metadata, dict)
    name = f"crd/{metadata['name']}"
    apiserver.kubectl("wait", name, "--for=condition=Established", "--timeout=30s")
    return apiserver


def create(kubernetes: ApiServer, laid_over: dict[str, object]) -> str:
    return kubernetes.kubectl(
        "create",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        "-o",
        "json",
        stdin=json.dumps(SMALLEST | laid_over),
    )


@every_rule
def test_the_api_server_accepts_a_manifest_that_keeps_the_rule(
    kubernetes: ApiServer, case: dict[str, dict[str, object]]
) -> None:
    create(kubernetes, case["good"])


@every_rule
def test_the_api_server_refuses_a_manifest_that_breaks_the_rule(
    kubernetes: ApiServer, case: dict[str, dict[str, object]]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        create(kubernetes, case["bad"])
    assert str(case["apiserver"]) in str(caught.value)


def test_a_cluster_without_a_spec_has_two_gates_with_a_listener(
    kubernetes: ApiServer,
) -> None:
    made = json.loads(create(kubernetes, {"spec": {}}))
    gates = made["spec"]["gates"]
    assert gates["replicas"] == 2
    assert gates["listeners"] == [
        {"name": "ws", "transport": "websocket", "protocol": "nano", "port": 3250}
    ]
    assert gates["service"] == {"type": "ClusterIP"}
