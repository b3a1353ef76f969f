"""Every panel of every dashboard shows what happens in a real cluster.

A Prometheus scrapes the nodes while they rest, carry load, rest again, and are in
trouble.  Each query has to answer with series of ours, and to tell the times apart.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.monitoring import files
from charts.monitoring.panels import BOARDS, Board, Panel
from nano.metrics.catalogue import CATALOGUE
from nano_manifest import OBSERVE_PORT, from_object

from .prometheus import PATIENCE, Prometheus, Vector, prometheus
from .town import Town, until

logger = logging.getLogger(__name__)

NODES = [board for board in BOARDS if board.name != "operator"]
SUFFIXES = ("_bucket", "_sum", "_count")
OURS = {family.sample for group in CATALOGUE.values() for family in group}

TROUBLE = {
    "Nodes that are not ready",
    "Failed answers a second",
    "Messages dropped a second",
    "Lateness of the event loop (p99)",
    "Slow clients",
    "Backlog of slow clients",
    "Handlers that fail by mistake",
    "Nodes that do not reach the master",
    "Messages that links dropped",
    "Age of the oldest reconcile",
}
"""What shows only trouble; the test causes it."""


def all_panels(boards: Iterable[Board]) -> list[tuple[str, Panel, str]]:
    """Return (its name in messages, the panel, its query) for every query."""
    return [
        (f"{board.name}: {panel.title} [{query.legend}]", panel, query.expr)
        for board in boards
        for panel in board.panels
        for query in panel.queries
    ]


def documents() -> list[dict[str, Any]]:
    folder = files.CHART / "dashboards"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_the_files_are_what_the_code_makes() -> None:
    assert files.stale() == [], "run python -m charts.monitoring"


def test_every_dashboard_can_be_imported_anywhere() -> None:
    found = documents()
    assert len(found) == len(BOARDS)
    assert len({it["uid"] for it in found}) == len(BOARDS)
    for document in found:
        assert document["uid"].startswith("nanocluster-")
        names = [it["name"] for it in document["templating"]["list"]]
        operator = document["uid"] == "nanocluster-operator"
        inner = [] if operator else ["cluster"]
        assert names == ["datasource", "namespace", *inner, "pod"]
        text = json.dumps(document)
        assert set(re.findall(r'"uid": "([^"]*)"', text)) == {
            "${datasource}",
            document["uid"],
        }
        assert "vector(0)" not in text
        for panel in document["panels"]:
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["targets"]


def test_a_large_number_is_what_is_now() -> None:
    kinds = {"stat": True, "timeseries": False}
    for document in documents():
        for panel in document["panels"]:
            instant = {it.get("instant", False) for it in panel["targets"]}
            assert instant == {kinds[panel["type"]]}, panel["title"]


def test_queries_leave_the_interval_to_grafana_and_the_choice_to_the_reader() -> None:
    for name, _, expr in all_panels(BOARDS):
        assert set(re.findall(r"\[(.*?)\]", expr)) <= {"$__rate_interval"}, name
        selectors = re.findall(r"\{(.*?)\}", expr)
        assert selectors, name
        for selector in selectors:
            assert 'namespace=~"$namespace"' in selector, name
            assert 'instance=~"$pod"' in selector, name


def test_queries_ask_for_metrics_that_there_are() -> None:
    for name, _, expr in all_panels(NODES):
        for metric in re.findall(r"([a-z_]+)\{", expr):
            base = metric
            for suffix in SUFFIXES:
                base = base.removesuffix(suffix)
            assert base in OURS or metric.startswith("process_"), name


def test_what_shows_only_trouble_is_listed() -> None:
    assert {
        panel.title for _, panel, _ in all_panels(BOARDS) if panel.moves == "trouble"
    } == TROUBLE


def differ(one: Vector, other: Vector) -> bool:
    """Tell whether two looks at a panel are two pictures."""
    if bool(one) is not bool(other):
        return True
    before, after = sum(one.values()), sum(other.values())
    return abs(before - after) > 0.01 * max(abs(before), abs(after))


async def look(
    prom: Prometheus, queries: Iterable[tuple[str, str]]
) -> dict[str, Vector]:
    """Ask all of *queries*, (name, query) each."""
    return {name: await prom.query(expr) for name, expr in queries}


async def moved(
    prom: Prometheus,
    panels: list[tuple[str, Panel, str]],
    before: Mapping[str, Vector],
    *kinds: str,
) -> dict[str, Vector]:
    """Wait until every panel of these kinds is another picture than *before*.

    Returns:
        What each was in the moment in which it had moved.
    """
    missing = {name: expr for name, panel, expr in panels if panel.moves in kinds}
    found: dict[str, Vector] = {}

    async def all_have() -> bool:
        for name, vector in (await look(prom, missing.items())).items():
            if differ(before[name], vector):
                found[name] = vector
                del missing[name]
        return not missing

    try:
        await until(all_have, PATIENCE)
    except TimeoutError:
        pytest.fail(f"these do not move with {kinds}: {sorted(missing)}")
    return found


def shown(vector: Vector) -> str:
    return f"{sum(vector.values()):.4g} in {len(vector)}" if vector else "nothing"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_panel_tells_rest_from_load_and_shows_trouble(
    tmp_path: Path,
) -> None:
    panels = all_panels(NODES)
    queries = [(name, expr) for name, _, expr in panels]
    town = Town()
    async with town.cluster, prometheus(tmp_path) as prom:
        addresses = list(town.addresses)
        prom.scrape(addresses)

        async def all_up() -> bool:
            return await prom.up() == len(addresses)

        async def is_quiet() -> bool:
            rates = await prom.query(
                'sum(rate(nano_messages_total{namespace=~"$namespace"}'
                "[$__rate_interval]))"
            )
            return bool(rates) and not sum(rates.values())

        async def are_calls_timed() -> bool:
            series = 'nano_handler_seconds_count{route="Hall.who"}'
            return bool(await prom.query(f"{series} > 0"))

        await until(all_up, PATIENCE)
        await until(is_quiet, PATIENCE)
        rest = await look(prom, queries)
        async with town.load():
            loaded = await moved(prom, panels, rest, "load")
            await until(are_calls_timed, PATIENCE)
        for name, vector in loaded.items():
            assert vector or rest[name], name
        await moved(prom, panels, loaded | rest_of(loaded, rest), "load")
        await until(is_quiet, PATIENCE)
        again = await look(prom, queries)
        async with town.trouble():
            prom.scrape(town.addresses)
            troubled = await moved(prom, panels, again, "trouble", "members")
        for name, vector in troubled.items():
            assert vector, name
    rows = loaded | troubled
    assert set(rows) == {name for name, _ in queries}
    table = [f"{n} | {shown(rest[n])} | {shown(rows[n])}" for n, _ in queries]
    logger.info("panel | at rest | when it has moved\n%s", "\n".join(table))


def rest_of(
    loaded: Mapping[str, Vector], rest: Mapping[str, Vector]
) -> dict[str, Vector]:
    """Return the looks of *rest* at what load does not move."""
    return {name: vector for name, vector in rest.items() if name not in loaded}


def test_the_page_names_values_and_ports_that_there_are() -> None:
    page = (files.CHART.parents[1] / "docs" / "metrics.md").read_text()
    values = yaml.safe_load((files.CHART / "values.yaml").read_text())
    for path in re.findall(r"`monitoring\.([\w.]+)`", page):
        level = values["monitoring"]
        for step in path.split("."):
            level = level[step]
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    base = {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "metadata": {"name": "page"},
    }
    gates = from_object(base | yaml.safe_load(block)).spec.gates
    port = gates.template.annotations["prometheus.io/port"]
    assert port == str(OBSERVE_PORT)
