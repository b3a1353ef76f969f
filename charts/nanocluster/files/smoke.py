"""What ``helm test`` runs: a tiny cluster is made, echoes one message and is removed.

It runs in a pod of the operator's image, under an account that may make and remove
NanoClusters in one namespace.  The cluster has one gate, whose only component is in
the ConfigMap beside this file.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from nano import client

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PATIENCE_SECONDS = 120.0
TEXT = {"text": "hello"}


def ask(method: str, path: str, body: object = None) -> Any:
    """Send one request to the API server, and return its answer."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    port = os.environ["KUBERNETES_SERVICE_PORT"]
    with open(f"{ACCOUNT}/token") as token:
        headers = {"Authorization": f"Bearer {token.read()}"}
    data = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    request = urllib.request.Request(
        f"https://{host}:{port}{path}", data, headers, method=method
    )
    trusted = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:
        return json.load(answer)


def manifest(name: str, namespace: str, config_map: str) -> dict[str, object]:
    """Return the tiny cluster."""
    mount = {"name": "code", "mountPath": "/app/smoke_echo.py"}
    return {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "gates": {
                "replicas": 1,
                "components": ["smoke_echo:Smoke"],
                "template": {
                    "volumes": [{"name": "code", "configMap": {"name": config_map}}],
                    "volumeMounts": [mount | {"subPath": "smoke_echo.py"}],
                },
            }
        },
    }


def ready(resource: Any) -> tuple[bool, str]:
    """Tell whether the cluster is ready, and if not, why."""
    for entry in resource.get("status", {}).get("conditions", []):
        if entry["type"] == "Ready":
            return entry["status"] == "True", f"{entry['reason']}: {entry['message']}"
    return False, "the operator has not looked at it"


async def echo(url: str) -> object:
    """Send one message and return what comes back."""
    async with asyncio.timeout(10), await client.connect(url) as connected:
        return await connected.request("Smoke.echo", TEXT)


def main() -> int:
    """Make, ask, remove; return the exit code."""
    name, namespace, config_map = sys.argv[1:4]
    path = f"/apis/nanocluster.io/v1alpha1/namespaces/{namespace}/nanoclusters"
    deadline = time.monotonic() + PATIENCE_SECONDS
    ask("POST", path, manifest(name, namespace, config_map))
    said = ""
    try:
        while time.monotonic() < deadline:
            resource = ask("GET", f"{path}/{name}")
            holds, now = ready(resource)
            if now != said:
                print(now, flush=True)
                said = now
            if holds:
                url = resource["status"]["endpoints"][0]["url"]
                answer = asyncio.run(echo(url))
                print(f"{url} answered {answer}", flush=True)
                return 0 if answer == TEXT else 1
            time.sleep(1.0)
    finally:
        ask("DELETE", f"{path}/{name}")
    print(f"not ready after {PATIENCE_SECONDS:.0f} s", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
