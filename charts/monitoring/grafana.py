"""Dashboards for Grafana, by its own library."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, stat, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)

from .panels import Board, Panel

__all__ = ["as_json"]

HEIGHT: Final = 8
HALF: Final = 12  # of the 24 columns
QUARTER: Final = 6
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whichever Prometheus the reader chooses: no dashboard knows the uid of one."""


def as_json(board: Board) -> str:
    """Return *board* as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"nanocluster-{board.name}")
        .tags(["nanocluster"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("data").type("prometheus")
        )
    )
    for variable in _variables(board):
        made.with_variable(variable)
    for panel in board.panels:
        made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _variables(board: Board) -> list[dashboard.QueryVariable]:
    names = [("namespace", "namespace", board.info)]
    inner = f'{board.info}{{namespace=~"$namespace"}}'
    if board.info == "nano_node_info":
        names.append(("cluster", "nanocluster", inner))
        inner = f'{board.info}{{namespace=~"$namespace", nanocluster=~"$cluster"}}'
    names.append(("pod", "instance", inner))
    return [_variable(name, label, of) for name, label, of in names]


def _variable(name: str, label: str, of: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .datasource(SOURCE)
        .query({"query": f"label_values({of}, {label})", "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel
    if panel.stat:
        now = common.ReduceDataOptions().calcs(["lastNotNull"])
        made = stat.Panel().span(QUARTER).height(HEIGHT // 2).reduce_options(now)
        made.no_value("none")  # nothing that counts is nobody who is counted
    else:
        legend = (
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        made = timeseries.Panel().span(HALF).height(HEIGHT)
        made.legend(legend).fill_opacity(10).min(0)
    made.title(panel.title).description(panel.text).unit(panel.unit)
    made.datasource(SOURCE)
    for number, query in enumerate(panel.queries):
        target = (
            Dataquery()
            .expr(query.expr)
            .legend_format(query.legend)
            .ref_id(chr(ord("A") + number))
        )
        # of a range, a series that has ended would be shown as if it were now
        made.with_target(target.instant() if panel.stat else target)
    return made
