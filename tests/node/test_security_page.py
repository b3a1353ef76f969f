"""What docs/security.md shows works, and its tables are true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from nano.client import connect
from nano.cluster.credentials import node_name, role_uri
from nano.cluster.guard import HANDSHAKE_TIME, PATIENCE
from nano.cluster.link import GREETING_TIME
from nano.cluster.registrar import MOST_MEMBERS
from nano.cluster.server import SERVER_OPTIONS
from nano.cluster.services import LARGEST_MEMBER
from nano.cluster.strangers import REMIND
from nano.cluster.streams import LINK_LIMIT, MOVING_TIME
from nano.runtime.certificates import LOOK_AFTER
from nano.testing import LocalCluster
from nano_manifest import CLUSTER_PORT, CONTROL_PORT, OBSERVE_PORT, loads

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
CLUSTER = "default/arena"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


MANIFEST, CERT_MANAGER = blocks("yaml")


@pytest.fixture
def certificates(tmp_path: Path) -> str:
    """Return the folder that the page's script has filled."""
    (script,) = blocks("sh")
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=tmp_path,
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return str(tmp_path / "tls")


@pytest.mark.process
async def test_the_pages_certificates_serve_the_pages_manifest(
    certificates: str,
) -> None:
    app_dir = str(ROOT / "examples" / "echo")
    async with (
        LocalCluster(loads(MANIFEST), app_dir=app_dir, tls_dir=certificates) as cluster,
        await connect(cluster.url("ws")) as client,
    ):
        answer = await client.request("EchoService.echo", {"text": "hello"})
        assert answer["text"] == "hello"
        one, two = cluster.gates
        assert one.address in two.linked


def test_cert_manager_is_asked_for_the_names_that_are_needed() -> None:
    nodes, master = yaml.safe_load_all(CERT_MANAGER)
    tls = loads(MANIFEST).spec.cluster_tls
    assert tls
    assert nodes["spec"]["secretName"] == tls.secret_name
    assert master["spec"]["secretName"] == tls.master_secret_name
    for certificate in (nodes, master):
        assert certificate["spec"]["dnsNames"] == [node_name(CLUSTER)]
        assert {"server auth", "client auth"} <= {*certificate["spec"]["usages"]}
    assert master["spec"]["uris"] == [role_uri(CLUSTER, "master")]
    for text in (node_name(CLUSTER), role_uri(CLUSTER, "master")):
        assert f"| `{text}` |" in PAGE


def test_every_reason_in_the_source_is_in_the_table_and_no_other() -> None:
    table = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    said = set()
    for file in (ROOT / "node/src/nano/cluster").glob("*.py"):
        calls = r"refuse\(\s*(?:context,\s*)?\"([a-z-]+)\""
        said |= set(re.findall(calls, file.read_text()))
    assert said == table


def test_the_figures_are_those_of_the_source() -> None:
    options = dict(SERVER_OPTIONS)
    streams = options["grpc.max_concurrent_streams"]
    for text in (
        f"cut off after {HANDSHAKE_TIME:g} seconds",
        f"{options['grpc.max_allowed_incoming_connections']:,} at one node",
        f"{streams} calls at once on a connection",
        f"greet | {GREETING_TIME:g} seconds each",
        f"{LINK_LIMIT >> 20} MiB, as long",
        f"| {LARGEST_MEMBER >> 10} KiB |",
        f"| {MOST_MEMBERS:,} members of a cluster |",
        f"looks at its files every {LOOK_AFTER:g} seconds",
        f"tries again every {MOVING_TIME:g} seconds",
        f"once in {REMIND:g} seconds",
        f"counts it {PATIENCE:g} seconds later",
        f"| cluster, {CLUSTER_PORT} |",
        f"| observe, {OBSERVE_PORT} |",
        f"| control, {CONTROL_PORT} |",
    ):
        assert text in PAGE, text
