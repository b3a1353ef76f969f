"""``nanoctl control`` against a node's own control port."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nano.cli import main
from nano.local.ports import free_ports
from nano.node import Node, NodeOptions, Role
from nano_manifest import Metadata, NanoCluster

pytestmark = pytest.mark.process


async def run(*args: str, **env: str) -> Result:
    """Run the command in a thread: it has a loop of its own."""
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["control", *args], env=env, catch_exceptions=False
    )


def master(**options: str) -> Node:
    manifest = NanoCluster(metadata=Metadata(name="demo"))
    address = "127.0.0.1:0"
    given = {"role": Role.MASTER, "manifest": manifest, "address": address}
    return Node(NodeOptions(**(given | options)))  # type: ignore[arg-type]


async def test_a_node_is_asked_by_its_file_without_a_token(tmp_path: Path) -> None:
    place = f"unix:{tmp_path}/control"
    node = master(control=place)
    await node.start()
    said = await run("/status", NANO_CONTROL=place)
    assert said.exit_code == 0
    assert json.loads(said.output)["role"] == "master"
    assert json.loads((await run("sessions", NANO_CONTROL=place)).output) == {
        "sessions": []
    }
    bare = place.removeprefix("unix:")  # as `nanoctl up` shows it
    assert (await run("/status", "--control", bare)).exit_code == 0
    refused = await run("-X", "delete", "/sessions/7", "--control", place)
    assert refused.exit_code == 1
    assert "DELETE /sessions/7: 404" in refused.output
    assert "there is no session 7 here" in refused.output
    await node.stop()


async def test_over_tcp_the_token_is_read_from_its_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    place = f"127.0.0.1:{free_ports(1)[0]}"
    node = master(control=place, token="secret")
    await node.start()
    good = await run("/status", "--control", place, "--token-file", str(token))
    assert good.exit_code == 0
    bad = await run("/status", "--control", place)
    assert bad.exit_code == 1
    assert "401" in bad.output
    assert "secret" not in good.output + bad.output
    await node.stop()


@pytest.mark.parametrize("place", ["127.0.0.1:1", "unix:/nowhere/at-all", "no port"])
async def test_nobody_there_is_said_in_a_sentence(place: str) -> None:
    said = await run("/status", "--control", place)
    assert said.exit_code == 1
    assert said.output.startswith(f"Error: nobody to ask at {place}: ")
    assert "ssl:default" not in said.output  # aiohttp's words


async def test_a_body_that_is_no_json_is_refused_before_anything_is_sent() -> None:
    said = await run("/status", "{", "--control", "127.0.0.1:1")
    assert said.exit_code == 2
    assert "is no JSON" in said.output
