"""A dashboard as a picture, for pages that are read where no Grafana is.

Panels, their order, titles, texts, units and legends are those of
:mod:`charts.monitoring.panels`, and so are the columns.  This module draws what it is
given; ``tests/monitoring/picture.py`` runs a cluster beside a Prometheus and asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from .panels import Board, Panel

__all__ = ["Line", "Mark", "draw", "save", "scale_of"]

DPI: Final = 100
WIDTH: Final = 11.0  # inches
ROW: Final = 2.35  # inches of a row of panels
TILE: Final = 0.95  # ... of large numbers
HEAD: Final = 0.85  # ... of the title
COLUMNS: Final = 4  # large numbers have one each, panels two
LONGEST_TEXT: Final = 88  # characters below a title
PAPER, CARD, EDGE = "#f3f4f6", "#ffffff", "#d9dce1"
INK, SOFT = "#1f2329", "#6b7280"
COLOURS: Final = (
    "#1f78c1", "#e8871e", "#3f9b4a", "#d64545", "#7d5fb2", "#14a3a8", "#c2498f",
    "#8a6d3b", "#5b6b7f", "#a3b320",
)  # fmt: skip
COLOURS_OF_A_FILE: Final = 256
ROUNDS: Final = 4  # in which these are bettered; without, thin lines lose their own
STEP: Final = 2.0  # seconds: the last value of a line that goes on is no older
DECIMAL: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
BINARY: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
SMALL: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel.

    Attributes:
        name: As the legend has it.
        points: Seconds since the picture begins, and values.
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done, and when.

    Attributes:
        second: Since the picture begins.
        text: What.
    """

    second: float
    text: str


def scale_of(unit: str, top: float) -> tuple[float, str]:
    """Return by what values of *unit* up to *top* are divided, and what stands behind.

    Raises:
        KeyError: *unit* is none that a panel has.
    """
    steps = {
        "short": (*((by, f" {name}") for by, name in DECIMAL), (1.0, "")),
        "mps": (*((by, f" {name} msg/s") for by, name in DECIMAL), (1.0, " msg/s")),
        "Bps": (*((by, f" {name}B/s") for by, name in DECIMAL), (1.0, " B/s")),
        "bytes": (*((by, f" {name}") for by, name in BINARY), (1.0, " B")),
        "s": tuple((by, f" {name}") for by, name in SMALL),
        "percentunit": ((0.01, "%"),),
    }[unit]
    return next(((by, name) for by, name in steps if top >= by), steps[-1])


def draw(
    board: Board,
    lines: Mapping[str, Sequence[Line]],
    seconds: float,
    marks: Sequence[Mark],
    caption: str,
) -> Figure:
    """Draw *board*.

    Args:
        board: Which one.
        lines: What Prometheus has answered, by the title of the panel.
        seconds: How long the picture goes.
        marks: Drawn into every panel, and named above.
        caption: What stands beside the title.
    """
    tiles = [panel for panel in board.panels if panel.stat]
    panels = [panel for panel in board.panels if not panel.stat]
    heights = [TILE] * math.ceil(len(tiles) / COLUMNS)
    first = len(heights)
    heights += [ROW] * math.ceil(len(panels) / 2)
    height = HEAD + sum(heights)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER)
    _head(figure, height, board.title, caption, marks)
    grid = GridSpec(
        len(heights),
        COLUMNS,
        figure,
        height_ratios=heights,
        left=0.0,
        right=1.0,
        bottom=0.0,
        top=1 - HEAD / height,
        hspace=0.0,
        wspace=0.0,
    )
    for number, panel in enumerate(tiles):
        where = grid[number // COLUMNS, number % COLUMNS]
        card = _card(figure, where.get_position(figure).bounds)
        _tile(card, panel, [it for it in lines[panel.title] if _lasts(it, seconds)])
    for number, panel in enumerate(panels):
        column = number % 2 * 2
        where = grid[first + number // 2, column : column + 2]
        _panel(figure, where.get_position(figure).bounds, panel, lines, seconds, marks)
    return figure


def save(figure: Figure, target: Path) -> None:
    """Write *figure* as PNG, in few colours: a third of the bytes, and looks alike."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    every = Image.open(buffer).convert("RGB")
    few = every.quantize(COLOURS_OF_A_FILE, kmeans=ROUNDS, dither=Image.Dither.NONE)
    few.save(target, format="PNG", optimize=True)


Bounds = tuple[float, float, float, float]


def _head(
    figure: Figure, height: float, title: str, caption: str, marks: Sequence[Mark]
) -> None:
    left, below = 0.13 / WIDTH, 1 - 0.30 / height
    figure.text(left, below, title, size=16, weight="bold", color=INK, va="center")
    said = "; ".join(f"{_clock(it.second)} {it.text}" for it in marks)
    text = f"{caption}\n{said}"
    below = 1 - 0.63 / height
    figure.text(left, below, text, size=9.5, color=SOFT, va="center", linespacing=1.35)


def _card(figure: Figure, bounds: Bounds) -> Axes:
    """Return axes without ticks on a card of their own."""
    width, height = figure.get_size_inches()
    x, y, wide, high = bounds
    gap, rise = 0.06 / width, 0.06 / height
    card = figure.add_axes((x + gap, y + rise, wide - 2 * gap, high - 2 * rise))
    card.set_facecolor(CARD)
    card.set_xticks([])
    card.set_yticks([])
    for spine in card.spines.values():
        spine.set_color(EDGE)
    return card


def _lasts(line: Line, seconds: float) -> bool:
    """Whether *line* goes to the end: what was over before is nothing that is now."""
    return bool(line.points) and line.points[-1][0] >= seconds - STEP


def _tile(card: Axes, panel: Panel, lines: Sequence[Line]) -> None:
    """Write what it is at the end."""
    card.text(
        0.035, 0.83, panel.title, size=10, weight="bold", color=INK, va="center",
        transform=card.transAxes,
    )  # fmt: skip
    last = [(it.name, it.points[-1][1]) for it in lines]
    room = 1 / max(1, len(last))
    for number, (name, value) in enumerate(last or [("", math.nan)]):
        middle = (number + 0.5) * room
        text = "none" if math.isnan(value) else f"{value:g}"
        card.text(
            middle, 0.44, text, size=22, color=COLOURS[0], weight="bold",
            ha="center", va="center", transform=card.transAxes,
        )  # fmt: skip
        if len(last) > 1:
            card.text(
                middle, 0.12, name, size=9, color=SOFT, ha="center", va="center",
                transform=card.transAxes,
            )  # fmt: skip


def _panel(
    figure: Figure,
    bounds: Bounds,
    panel: Panel,
    lines: Mapping[str, Sequence[Line]],
    seconds: float,
    marks: Sequence[Mark],
) -> None:
    card = _card(figure, bounds)
    card.text(
        0.018, 0.935, panel.title, size=10, weight="bold", color=INK, va="center",
        transform=card.transAxes,
    )  # fmt: skip
    card.text(
        0.018, 0.862, _cut(panel.text), size=8, color=SOFT, va="center",
        transform=card.transAxes,
    )  # fmt: skip
    x, y, wide, high = card.get_position().bounds
    area = figure.add_axes((x + 0.13 * wide, y + 0.27 * high, 0.84 * wide, 0.53 * high))
    found = lines[panel.title]
    top = max((v for it in found for _, v in it.points), default=0.0)
    by, behind = scale_of(panel.unit, top)
    shade = min(0.08, 0.16 / max(1, len(found)))  # many that overlap would be mud
    for number, line in enumerate(found):
        colour = COLOURS[number % len(COLOURS)]
        times = [second for second, _ in line.points]
        values = [value / by for _, value in line.points]
        area.plot(times, values, color=colour, linewidth=1.4, label=line.name)
        area.fill_between(times, values, color=colour, alpha=shade, linewidth=0)
    for mark in marks:
        area.axvline(mark.second, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    area.set_xlim(0, seconds)
    area.set_ylim(0, 1.12 * top / by if top else 1)
    _axes(area, behind)
    if found:
        columns = min(len(found), 4)
        area.legend(
            loc="upper left", bbox_to_anchor=(-0.13, -0.2), ncols=columns,
            frameon=False, fontsize=8, labelcolor=INK, handlelength=1.1,
            columnspacing=1.3, handletextpad=0.5, labelspacing=0.25, borderpad=0.2,
        )  # fmt: skip
    else:
        area.text(
            0.5, 0.5, "no data", size=9, color=SOFT, ha="center", va="center",
            transform=area.transAxes,
        )  # fmt: skip


def _axes(area: Axes, behind: str) -> None:
    area.set_facecolor(CARD)
    area.grid(color=EDGE, linewidth=0.6)
    area.set_axisbelow(True)
    area.tick_params(labelsize=8, labelcolor=SOFT, length=0, pad=5)
    for spine in area.spines.values():
        spine.set_visible(False)
    area.yaxis.set_major_locator(MaxNLocator(4))
    area.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}{behind}"))
    area.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 2, 3, 6, 10]))
    area.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _clock(v)))


def _clock(second: float) -> str:
    return f"{second // 60:.0f}:{second % 60:02.0f}"


def _cut(text: str) -> str:
    """Return *text*, or as much of it as has room, which ends at a word."""
    if len(text) <= LONGEST_TEXT:
        return text
    return text[:LONGEST_TEXT].rpartition(" ")[0].rstrip(",;:") + " …"
