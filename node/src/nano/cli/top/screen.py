"""The screen of ``top`` on a terminal, and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import get_app
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window

from nano.cli.top.figures import Figures, total
from nano.cli.top.sorts import SORTS
from nano.cli.top.words import headline, lines, ordered

__all__ = ["Screen"]

HEAD: Final = 3  # lines above the nodes: the cluster, an empty one, the columns
HELP: Final = "q ends   < > sorts by {sort}   ↑ ↓ scrolls   every {interval:g} s"


class Screen:
    """Shows the latest figures until somebody presses q.

    Args:
        name: Of the cluster.
        sort: What the nodes are sorted by at first.
        interval: Seconds between two looks; for the last line.
    """

    def __init__(self, name: str, sort: str, interval: float) -> None:
        self._name = name
        self._sort = sort
        self._interval = interval
        self._rows: Sequence[Figures] | None = None
        self._ordered: list[Figures] = []
        self._table: list[str] = []  # of these, under the columns' names
        self._top = 0  # how many nodes are above the screen
        self._application: Application[None] = Application(
            layout=Layout(self._layout()),
            key_bindings=self._keys(),
            full_screen=True,
        )

    def update(self, rows: Sequence[Figures]) -> None:
        """Show other figures."""
        self._rows = rows
        self._arrange()
        self._application.invalidate()

    async def run(self) -> None:
        """Show them, until q or :meth:`close`."""
        await self._application.run_async()

    def close(self) -> None:
        """End it, if it is there."""
        if self._application.is_running and not self._application.is_done:
            self._application.exit()

    def _layout(self) -> HSplit:
        head = Window(FormattedTextControl(self._head), height=HEAD)
        nodes = Window(FormattedTextControl(self._nodes))
        return HSplit([head, nodes, Window(FormattedTextControl(self._foot), height=1)])

    def _arrange(self) -> None:
        """Sort the rows and make the table, once and not with each redraw."""
        self._ordered = ordered(self._rows or [], self._sort)
        self._table = list(lines(self._ordered))

    def _head(self) -> StyleAndTextTuples:
        if self._rows is None:
            return [("", f"{self._name}: asking its nodes …")]
        first = headline(self._name, total(self._rows))
        return [("bold", first), ("", "\n\n"), ("reverse", self._table[0])]

    def _nodes(self) -> StyleAndTextTuples:
        shown: StyleAndTextTuples = []
        if self._rows is not None:
            room = get_app().output.get_size().rows - HEAD - 1
            self._top = max(0, min(self._top, len(self._rows) - room))
            for row, line in zip(self._ordered, self._table[1:], strict=True):
                shown.append((_style(row), f"{line}\n"))
        return shown[self._top :]

    def _foot(self) -> StyleAndTextTuples:
        text = HELP.format(sort=self._sort, interval=self._interval)
        return [("class:bottom", text)]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("q")
        @keys.add("c-c")
        @keys.add("c-d")
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            event.app.exit()

        @keys.add(">")
        @keys.add("right")
        def _(_: KeyPressEvent) -> None:
            self._turn(1)

        @keys.add("<")
        @keys.add("left")
        def _(_: KeyPressEvent) -> None:
            self._turn(-1)

        @keys.add("down")
        def _(_: KeyPressEvent) -> None:
            self._top += 1

        @keys.add("up")
        def _(_: KeyPressEvent) -> None:
            self._top = max(0, self._top - 1)

        return keys

    def _turn(self, steps: int) -> None:
        """Sort by another column."""
        self._sort = SORTS[(SORTS.index(self._sort) + steps) % len(SORTS)]
        self._top = 0
        self._arrange()


def _style(row: Figures) -> str:
    if not row.answers:
        return "ansired"
    return "" if row.state == "ready" else "ansiyellow"
