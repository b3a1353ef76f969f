"""Draw a client connection's states from their table: ``python docs/lifecycle.py``.

It writes docs/lifecycle.svg; ``--check`` writes nothing and fails when the drawing is
not what the table gives, and a test runs it.
"""

# ruff: noqa: INP001 -- a program beside its output, not a module of a package

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Final

from nano.protocol.lifecycle import TRANSITIONS, Input, State

TARGET: Final = Path(__file__).with_suffix(".svg")
WIDTH: Final = 230
HEIGHT: Final = 66
APART: Final = 12  # a line there from the line back

# the middle of each state; a new state needs a place here
PLACES: Final = {
    State.GREETING: (125, 60),
    State.ASKING: (440, 60),
    State.GREETED: (755, 60),
    State.WORKING: (755, 330),
    State.CLOSED: (125, 330),
}

HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 390" role="img" \
font-family="sans-serif" font-size="13">
<title>The states of a client connection</title>
<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" \
markerHeight="9" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>
<rect width="880" height="390" fill="#fff"/>
"""


def edges() -> dict[tuple[State, State], list[Input]]:
    """Return which inputs lead from one state to another."""
    found: dict[tuple[State, State], list[Input]] = {}
    for (state, happened), following in TRANSITIONS.items():
        found.setdefault((state, following), []).append(happened)
    return found


def border(dx: float, dy: float) -> float:
    """Return how far from the middle of a box its border is in that direction."""
    across = WIDTH / 2 / abs(dx) if dx else math.inf
    down = HEIGHT / 2 / abs(dy) if dy else math.inf
    return min(across, down)


def line(start: State, end: State, both: bool, words: str) -> str:
    """Draw an arrow with its words; beside the one back, if there is one."""
    (x1, y1), (x2, y2) = PLACES[start], PLACES[end]
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    shift = APART if both else 0
    x1, x2 = x1 - dy * shift, x2 - dy * shift
    y1, y2 = y1 + dx * shift, y2 + dx * shift
    gap = border(dx, dy)
    x1, y1 = x1 + dx * gap, y1 + dy * gap
    x2, y2 = x2 - dx * gap, y2 - dy * gap
    x, y = x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4
    above = 16 if both and dx > 0 else -6
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
        'stroke="#555" marker-end="url(#end)"/>\n'
        f'<text x="{x:.0f}" y="{y + above:.0f}" text-anchor="middle" stroke="#fff" '
        f'stroke-width="4" paint-order="stroke">{words}</text>\n'
    )


def box(state: State, stays: list[Input]) -> str:
    """Draw a state, and what changes nothing there."""
    x, y = PLACES[state]
    stay = ", ".join(it.value for it in stays)
    small = (
        f'<text x="{x}" y="{y + 20}" text-anchor="middle" font-size="11" '
        f'fill="#555">{stay}</text>\n'
        if stay
        else ""
    )
    return (
        f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="8" fill="#eef3fa" stroke="#456"/>\n'
        f'<text x="{x}" y="{y}" text-anchor="middle" font-weight="bold">'
        f"{state.value}</text>\n{small}"
    )


def drawing() -> str:
    """Return the whole picture."""
    arrows = edges()
    parts = [HEAD]
    for (start, end), inputs in arrows.items():
        if start is not end:
            words = ", ".join(it.value for it in inputs)
            parts.append(line(start, end, (end, start) in arrows, words))
    parts += [box(state, arrows.get((state, state), [])) for state in State]
    return "".join([*parts, "</svg>\n"])


def main() -> int:
    """Write the drawing, or compare it."""
    if "--check" not in sys.argv:
        TARGET.write_text(drawing(), encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == drawing():
        return 0
    sys.stderr.write(f"{TARGET.name} is out of date; run: python docs/lifecycle.py\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
