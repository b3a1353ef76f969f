"""What docs/listeners.md shows works, and its tables are true."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from nano.testing import LocalCluster
from nano.transports.arrival import FOR_NOW, REFUSALS
from nano.transports.websocket import CLOSE_CODES
from nano_manifest import SETTINGS, loads
from tests.listening import put_certificate

from .clusters import PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "listeners.md").read_text()
MORE_REASONS = {
    "client-broke-off",
    "client-closed",
    "connection-lost",
    "kicked",
    "resumed",
    "slow-client",
    "no-upgrade",
    "no-tls",
    "bad-proxy-header",
    "untrusted-proxy",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("manifest", blocks("yaml"))
def test_every_manifest_of_the_page_is_good(manifest: str) -> None:
    assert loads(manifest).metadata.name == "game"


@pytest.mark.process
async def test_the_first_manifest_serves_the_pages_client(tmp_path: Path) -> None:
    authority = trustme.CA()
    secret = tmp_path / "game-tls"
    secret.mkdir()
    put_certificate(secret, authority)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (program,) = blocks("python")
    names: dict[str, object] = {}
    exec(program, names)
    ask: Callable[..., Awaitable[dict[str, str]]] = names["ask"]  # type: ignore[assignment]

    manifest = loads(blocks("yaml")[0])
    app_dir = str(ROOT / "examples" / "echo")
    async with (
        asyncio.timeout(2 * PATIENCE),
        LocalCluster(manifest, app_dir=app_dir, tls_dir=str(tmp_path)) as cluster,
    ):
        ca = str(tmp_path / "ca.pem")
        wss = cluster.url("wss") + "/game"
        answers = [
            await ask(wss, ca),
            await ask(cluster.url("tls"), ca),
            await ask(cluster.url("local")),
        ]
        texts = [answer["text"] for answer in answers]
        assert texts == ["hello"] * 3
        (gate, *_) = cluster.gates
        assert set(gate.client_addresses) == {"wss", "tls", "local"}


def rows() -> dict[str, tuple[str, bool]]:
    """Return code and whether to come back, by reason, as the page says."""
    table: dict[str, tuple[str, bool]] = {}
    for line in PAGE.partition("| reason |")[2].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and re.fullmatch(r"`[a-z]+(-[a-z]+)*`", cells[1]):
            table[cells[1].strip("`")] = cells[3], cells[4] == "yes"
    return table


def test_every_reason_is_in_the_table_with_its_code() -> None:
    table = rows()
    assert set(table) == set(CLOSE_CODES) | set(REFUSALS) | MORE_REASONS
    for reason, code in CLOSE_CODES.items():
        assert table[reason][0] == str(code), reason
    for reason in REFUSALS:
        assert table[reason] == ("HTTP 503", reason in FOR_NOW)


def test_every_reason_in_the_source_is_in_the_table() -> None:
    said = set()
    for file in (ROOT / "node/src/nano/transports").glob("*.py"):
        calls = r"\b_(?:end|refuse|close)\(\s*\"([a-z-]+)\""
        said |= set(re.findall(calls, file.read_text()))
    assert said
    assert said <= set(rows())


def test_every_setting_that_it_names_exists() -> None:
    fields = {row.field for row in SETTINGS}
    named = set(
        re.findall(r"`((?:max|connections|handshakes?|messages)[A-Z]\w+)`", PAGE)
    )
    assert len(named) > 6
    assert named <= fields
