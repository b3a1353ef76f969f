"""The picture of a dashboard shows what Prometheus has answered, and the README it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from charts.monitoring.drawing import Line, Mark, draw, save, scale_of
from charts.monitoring.panels import BOARDS, Query

from .picture import in_words

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "pictures" / "dashboard.png"
BOARD = BOARDS[0]
SECONDS = 60.0
LARGEST = 200_000  # bytes; a page is no place for more


def drawn(**others: list[Line]) -> Figure:
    """The board with one line in each panel, but for *others*."""
    rising = [Line("a", [(float(at), at * 10.0) for at in range(61)])]
    lines = {panel.title: rising for panel in BOARD.panels} | others
    return draw(BOARD, lines, SECONDS, [Mark(30.0, "it is killed")], "a caption")


def words(figure: Figure) -> list[str]:
    """All texts, with those of legends."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        legend = axes.get_legend()
        if legend is not None:
            found += [text.get_text() for text in legend.get_texts()]
    return found


def lined(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.lines]


def test_every_panel_is_there_with_its_title_its_unit_and_its_lines() -> None:
    figure = drawn()
    said = words(figure)
    assert [panel.title for panel in BOARD.panels if panel.title not in said] == []
    assert BOARD.title in said
    assert "a caption\n0:30 it is killed" in said
    panels = [panel for panel in BOARD.panels if not panel.stat]
    assert len(lined(figure)) == len(panels)
    for axes, panel in zip(lined(figure), panels, strict=True):
        by, behind = scale_of(panel.unit, 600.0)
        line, mark = axes.lines
        assert np.asarray(line.get_ydata())[-1] == 600.0 / by
        assert np.asarray(mark.get_xdata()).tolist() == [30.0, 30.0]
        assert axes.yaxis.get_major_formatter()(3, 0) == f"3{behind}"


def test_a_large_number_is_that_of_the_end_and_not_of_what_is_over() -> None:
    ended = [Line("not ready", [(10.0, 17.0), (20.0, 17.0)])]
    said = words(drawn(**{"Nodes that are not ready": ended, "Clients": []}))
    assert "17" not in said
    assert said.count("none") == 2
    assert "600" in said  # of the others
    roles = [Line("gate", [(60.0, 2.0)]), Line("master", [(60.0, 1.0)])]
    assert {"2", "gate", "1", "master"} <= set(words(drawn(Nodes=roles)))


def test_a_panel_without_a_series_says_so() -> None:
    assert "no data" in words(drawn(**{"Messages dropped a second": []}))
    assert "no data" not in words(drawn())


@pytest.mark.parametrize(
    ("unit", "top", "by", "behind"),
    [
        ("short", 12.0, 1.0, ""),
        ("short", 12_000.0, 1e3, " k"),
        ("mps", 600.0, 1.0, " msg/s"),
        ("Bps", 75_000.0, 1e3, " kB/s"),
        ("bytes", 70e6, 2.0**20, " MiB"),
        ("s", 0.02, 1e-3, " ms"),
        ("s", 0.0, 1e-6, " µs"),
        ("percentunit", 0.4, 0.01, "%"),
    ],
)
def test_values_are_of_a_size_that_can_be_read(
    unit: str, top: float, by: float, behind: str
) -> None:
    assert scale_of(unit, top) == (by, behind)


def test_series_get_the_names_of_the_legend_and_the_time_of_the_picture() -> None:
    query = Query("", "{{stage}}: {{reason}}{{more}}")
    series = [
        ({"stage": "push", "reason": "late"}, [(101.0, 1.0), (102.0, 2.0)]),
        ({"stage": "call", "reason": "many"}, [(101.0, 3.0)]),
    ]
    assert in_words(query, series, begun=100.0) == [
        Line("call: many", [(1.0, 3.0)]),
        Line("push: late", [(1.0, 1.0), (2.0, 2.0)]),
    ]


def test_it_is_written_as_a_small_file(tmp_path: Path) -> None:
    save(drawn(), tmp_path / "board.png")
    with Image.open(tmp_path / "board.png") as fresh, Image.open(PICTURE) as shown:
        assert fresh.size == shown.size, "panels have come or gone: draw it anew"
    assert (tmp_path / "board.png").stat().st_size < LARGEST
    assert PICTURE.stat().st_size < LARGEST


def test_the_readme_shows_it_and_says_how_it_is_made() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "](docs/pictures/dashboard.png)" in readme
    assert "`make picture`" in readme
