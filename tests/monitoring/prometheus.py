"""A real Prometheus that scrapes what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

logger = logging.getLogger(__name__)

CHART = Path(__file__).parents[2] / "charts" / "nanocluster"
RULES = CHART / "alerts" / "nanocluster.yaml"
SCRAPE = 0.5  # seconds between two scrapes
INTERVAL = "4s"  # for $__rate_interval; Grafana makes it four scrapes at least
PATIENCE = 40.0  # seconds for anything that is waited for; the machine may be busy

FACTOR = 600  # by which the shipped `for` is divided: ten minutes become a second

Vector = dict[tuple[tuple[str, str], ...], float]
"""Values by labels."""

Series = tuple[dict[str, str], list[tuple[float, float]]]
"""Labels; times and values."""


def program(name: str) -> str:
    """Return the path of prometheus or promtool, or skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}: make tools installs it")
    return found


def filled(expr: str, interval: str = INTERVAL) -> str:
    """Put into a query what Grafana would put into it for a reader who sees all."""
    for variable in ("$namespace", "$cluster", "$pod"):
        expr = expr.replace(variable, ".*")
    return expr.replace("$__rate_interval", interval)


def shipped() -> list[dict[str, Any]]:
    """Return the rules of the chart's plain file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def sooner(rules: Iterable[dict[str, Any]]) -> list[dict[str, object]]:
    """Return a group of *rules* that need not hold for as long."""
    quick = []
    for rule in rules:
        number, unit = int(rule["for"][:-1]), rule["for"][-1]
        milliseconds = number * {"m": 60, "h": 3600}[unit] * 1000 // FACTOR
        quick.append({**rule, "for": f"{milliseconds}ms"})
    return [{"name": "sooner", "rules": quick}]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs.

    Attributes:
        url: Where its API is.
        targets: The file in which it looks for what to scrape.
        http: The client that asks it.
    """

    url: str
    targets: Path
    http: aiohttp.ClientSession

    def scrape(self, addresses: Iterable[str]) -> None:
        """Scrape these from now on."""
        self._write([{"targets": sorted(addresses)}])

    def scrape_named(self, names: Mapping[str, str]) -> None:
        """Scrape these addresses from now on; each is the instance of that name."""
        self._write(
            [
                {"targets": [address], "labels": {"instance": name}}
                for address, name in names.items()
            ]
        )

    def _write(self, targets: list[dict[str, Any]]) -> None:
        fresh = self.targets.with_suffix(".new")
        fresh.write_text(json.dumps(targets))
        fresh.rename(self.targets.with_suffix(".json"))

    async def _get(self, path: str, **query: str) -> Any:
        async with self.http.get(f"{self.url}/api/v1/{path}", params=query) as answer:
            body = await answer.json()
        assert body["status"] == "success", (query, body)
        return body["data"]

    async def query(self, expr: str) -> Vector:
        """Return what *expr* is now; what is no number is left out."""
        data = await self._get("query", query=filled(expr))
        assert data["resultType"] == "vector", expr
        return {
            tuple(sorted(series["metric"].items())): value
            for series in data["result"]
            if not math.isnan(value := float(series["value"][1]))
        }

    async def series(
        self, expr: str, since: float, until: float, interval: str
    ) -> list[Series]:
        """Return what *expr* was, each second; what is no number is left out.

        Args:
            expr: A query, with Grafana's variables.
            since: From when on, in seconds since 1970.
            until: Until when.
            interval: For ``$__rate_interval``.
        """
        data = await self._get(
            "query_range",
            query=filled(expr, interval),
            start=str(since),
            end=str(until),
            step="1",
        )
        return [
            (
                series["metric"],
                [
                    (float(at), number)
                    for at, value in series["values"]
                    if not math.isnan(number := float(value))
                ],
            )
            for series in data["result"]
        ]

    async def up(self) -> int:
        """Return how many targets were scraped well last time."""
        return int(sum((await self.query("up")).values()))

    async def firing(self) -> dict[str, str]:
        """Return the alerts that fire, by name, and what each of them says."""
        data = await self._get("alerts")
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in data["alerts"]
            if alert["state"] == "firing"
        }

    async def until_fired(self, names: set[str]) -> None:
        """Wait until each of these alerts has fired; the log has what they say."""
        fired: set[str] = set()
        try:
            async with asyncio.timeout(3 * PATIENCE):
                while not names <= fired:
                    for name, says in (await self.firing()).items():
                        if name in names - fired:
                            logger.info("%s: %s", name, says)
                            fired.add(name)
                    await asyncio.sleep(SCRAPE)
        except TimeoutError:
            pytest.fail(f"these do not fire: {sorted(names - fired)}")


@asynccontextmanager
async def prometheus(
    folder: Path, rules: Sequence[dict[str, object]] = (), every: float = SCRAPE
) -> AsyncIterator[Prometheus]:
    """Run one in *folder*; yields it when it answers.

    Args:
        folder: Where its files go.
        rules: Groups of them.
        every: Seconds between two scrapes.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    targets = folder / "targets"
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": list(rules)}))
    config = {
        "global": {
            "scrape_interval": f"{every * 1000:.0f}ms",
            "scrape_timeout": f"{every * 1000:.0f}ms",
            "evaluation_interval": "500ms",
        },
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "nano",
                "file_sd_configs": [
                    {"files": ["targets.json"], "refresh_interval": "500ms"}
                ],
            }
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={folder}/prometheus.yaml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as http:
            made = Prometheus(f"http://127.0.0.1:{port}", targets, http)
            async with asyncio.timeout(PATIENCE):
                while not await _answers(made):
                    assert process.returncode is None, "see prometheus.log"
                    await asyncio.sleep(0.1)
            yield made
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(made: Prometheus) -> bool:
    try:
        async with made.http.get(f"{made.url}/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
