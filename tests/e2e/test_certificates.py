"""A cluster whose nodes' certificates the operator issues, and a change of authority.

It comes first: it wants the operator, and no example on the machine's ports.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Final, cast

import pytest

from .cluster import Cluster, Object, until
from .conftest import ECHO, NODE, echo_inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SPACE: Final = "secure"
IN: Final = ("--namespace", SPACE)
ROTATE: Final = "nanocluster.io/rotate-certificates"

ASKING: Final = """
import asyncio, os, sys
from nano.client import connect

async def ask():
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    number = 0
    async with await connect(f"tcp://{os.environ['POD_IP']}:3251") as client:
        while not end.done():
            said = await client.request("EchoService.echo", {"text": str(number)})
            assert said["text"] == str(number), said
            number += 1
            await asyncio.sleep(0.05)
    print(number)

asyncio.run(ask())
"""
"""Asks on one connection until its input ends; fails when that is cut, or no answer."""


def manifest() -> str:
    """Return examples/echo with issued certificates, reached from inside only."""
    resource = echo_inside()
    resource["spec"]["clusterTls"] = {"issued": {"settleSeconds": 120}}
    return json.dumps(resource)


@pytest.fixture
def secure(operator: Cluster) -> Iterator[Cluster]:
    """The echo under issued certificates, ready."""
    operator.load([NODE, ECHO])
    with operator.space(SPACE):
        operator.kubectl("apply", *IN, "--filename=-", stdin=manifest())
        ready = ("wait", *IN, "--for=condition=Ready", "nanocluster/echo")
        operator.kubectl(*ready, "--timeout=120s", seconds=130)
        yield operator


def condition(cluster: Cluster) -> str:
    """Return the reason of Encrypted."""
    path = '{.status.conditions[?(@.type=="Encrypted")].reason}'
    asked = ("get", *IN, "nanocluster/echo", f"--output=jsonpath={path}")
    return cluster.kubectl(*asked)


def believed(cluster: Cluster) -> str:
    """Return the authorities that the nodes are to believe."""
    path = r"--output=jsonpath={.data.ca\.crt}"
    return cluster.kubectl("get", *IN, "secret/echo-nodes-tls", path)


def pods(cluster: Cluster) -> dict[str, int]:
    """Return the restarts of each pod."""
    found: dict[str, int] = {}
    for pod in cluster.objects("pods", *IN):
        name = str(cast(Object, pod["metadata"])["name"])
        statuses = cast(Object, pod["status"])["containerStatuses"]
        found[name] = int(str(cast("list[Object]", statuses)[0]["restartCount"]))
    return found


def test_another_authority_cuts_nobody_off(secure: Cluster) -> None:
    assert condition(secure) == "CertificatesIssued"
    authority, there = believed(secure), pods(secure)
    inside = ("exec", "--stdin", *IN, "deployment/echo-gate", "--")
    asking = subprocess.Popen(
        ["kubectl", *inside, "python", "-c", ASKING],
        env={**os.environ, **secure.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        secure.kubectl("annotate", *IN, "nanocluster/echo", f"{ROTATE}=now")
        for reason in ("RotatingAuthority", "CertificatesIssued"):
            until(lambda said=reason: condition(secure) == said, reason, seconds=500)  # type: ignore[misc]
            assert asking.poll() is None, asking.communicate(timeout=10)
        said, complaint = asking.communicate("", timeout=30)
    finally:
        asking.kill()
    assert asking.returncode == 0, complaint
    assert int(said) > 100  # and none of them went without an answer
    assert believed(secure) != authority
    assert pods(secure) == there
