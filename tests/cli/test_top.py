"""``top``: from what nodes answer to what a person reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.cli.top.figures import Answer, Figures, figures, total
from nano.cli.top.live import Wanted, show
from nano.cli.top.scrapes import Scrape, increase, increases, quantile
from nano.cli.top.sorts import SORTS
from nano.cli.top.words import headline, lines, ordered
from nano.metrics import Metrics

INF = float("inf")


def scrape(text: str, at: float = 0.0) -> Scrape:
    return Scrape(text + "\n", at)


def node(metrics: Metrics, at: float, **gauges: float) -> Scrape:
    """What a node with these counts answers."""
    metrics.gauges[:] = [
        lambda: [(f"nano_{name}", "", {}, value) for name, value in gauges.items()],
        lambda: [("nano_node_info", "", {"role": "gate"}, 1)],
    ]
    return Scrape(metrics.render().decode(), at)


def test_a_counter_grows_by_what_was_added_and_begins_anew_after_a_restart() -> None:
    before = scrape('a_total{x="1"} 10\na_total{x="2"} 7')
    after = scrape('a_total{x="1"} 15\na_total{x="2"} 3\na_total{x="3"} 2')
    assert increase(before, after, "a_total") == 5 + 3 + 2
    assert increase(before, after, "a_total", x="2") == 3
    assert increase(before, after, "b_total") == 0


def test_buckets_are_added_up_over_series_and_histograms() -> None:
    before = scrape('h_bucket{le="1.0"} 1\nh_bucket{le="+Inf"} 2')
    after = scrape(
        'h_bucket{le="1.0"} 3\nh_bucket{le="+Inf"} 6\n'
        'h_bucket{le="1.0",r="x"} 1\ng_bucket{le="+Inf"} 1'
    )
    assert increases(before, after, ["h", "g"]) == {1.0: 3, INF: 5}


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {}, None),
        (0.5, {1.0: 0, INF: 0}, None),
        (0.5, {1.0: 10, INF: 10}, 0.5),  # evenly spread from 0 on
        (0.5, {1.0: 0, 3.0: 10, INF: 10}, 2.0),
        (0.99, {1.0: 50, 2.0: 100, INF: 100}, 1.98),
        (0.99, {1.0: 50, 2.0: 50, INF: 100}, 2.0),  # above the last bound
        (0.5, {1.0: 10, 2.0: 8, INF: 8}, 0.5),  # torn by a restart
        (1.0, {1.0: 10, 2.0: 10, INF: 10}, 1.0),
    ],
)
def test_a_quantile_is_that_of_prometheus(
    share: float, buckets: dict[float, float], expected: float | None
) -> None:
    assert quantile(share, buckets) == pytest.approx(expected)


@given(
    st.lists(st.floats(1e-5, 20), min_size=1, max_size=200),
    st.floats(0.01, 1.0),
)
def test_a_quantile_lies_in_the_bucket_of_the_value(
    values: list[float], share: float
) -> None:
    metrics = Metrics()
    empty = Scrape(metrics.render().decode(), 0)
    counts = metrics.route("A.b")
    for value in values:
        counts.handling.observe(value)
    found = quantile(
        share,
        increases(
            empty, Scrape(metrics.render().decode(), 1), ["nano_handler_seconds"]
        ),
    )
    assert found is not None
    values.sort()
    exact = values[math.ceil(share * len(values)) - 1]
    bounds = [0.0, *(float(it) for it, _ in counts.handling.buckets())]
    above = next(i for i, bound in enumerate(bounds) if exact <= bound)
    assert bounds[above - 1] <= found * (1 + 1e-9)
    assert found <= bounds[above] * (1 + 1e-9)


def test_a_node_s_line_is_what_came_between_two_answers() -> None:
    metrics = Metrics()
    metrics.listener("ws").opened = 3
    route = metrics.route("A.b")
    first = node(metrics, 10.0, ready=1, draining=0)
    alone = figures(None, Answer("gate-1", "gate", first))
    assert (alone.state, alone.clients, alone.received) == ("ready", 3, None)
    for _ in range(40):
        route.received(1, 5)
        route.answered(5)
        route.answering.observe(0.0004)
    route.received(0, 5)
    metrics.pushed("onB", 5, 60)
    metrics.dropped["push", "full"] += 4
    second = node(metrics, 12.0, ready=1, draining=0, sessions_moving=2)
    row = figures(first, Answer("gate-1", "gate", second))
    assert row.received == 41 / 2
    assert row.sent == 100 / 2
    assert row.dropped == 2
    assert row.moving == 2
    assert row.p99 == pytest.approx(0.000_25 + 0.000_25 * 0.99)
    assert row.memory
    assert row.entrance


@pytest.mark.parametrize(
    ("gauges", "state"),
    [
        ({"ready": 1, "draining": 0}, "ready"),
        ({"ready": 0, "draining": 0}, "not ready"),
        ({"ready": 0, "draining": 1}, "draining"),
        ({}, "not ready"),
    ],
)
def test_a_node_says_where_it_stands(gauges: dict[str, float], state: str) -> None:
    scraped = node(Metrics(), 0.0, **gauges)
    assert figures(None, Answer("a", "gate", scraped)).state == state


def test_who_does_not_answer_is_shown_as_such_and_is_in_no_sum() -> None:
    silent = figures(None, Answer("gate-2", "gate", None, "connection refused"))
    there = Figures(
        *("gate-1", "gate", "ready"), clients=5, received=10.0, sent=20.0, entrance=True
    )
    served = Figures("room-1", "room", "draining", clients=0, received=10.0, lag=0.002)
    summed = total([there, silent, served])
    assert headline("chat", summed) == (
        "chat: 3 nodes (1 silent, 1 draining), 5 clients, 10 in/s, 20 out/s, "
        "p99 -, lag 2.0 ms"
    )
    shown = list(lines([silent]))[1]
    assert shown.split() == ["gate-2", "gate", "connection", "refused", *"-" * 10]


def test_the_p99_of_the_cluster_is_that_of_all_gates_together() -> None:
    fast = Figures(
        *("a", "gate", "ready"), clients=0, entrance=True, took={0.001: 99, INF: 99}
    )
    slow = Figures(
        *("b", "gate", "ready"), clients=0, entrance=True, took={1.0: 1, INF: 1}
    )
    inside = Figures("c", "room", "ready", clients=0, took={10.0: 1000, INF: 1000})
    assert total([fast, inside]).p99 == pytest.approx(0.001 * 0.99)
    both = total([fast, slow])
    assert both.p99 is not None
    assert both.p99 <= 0.001


@pytest.mark.parametrize("sort", SORTS)
def test_nodes_are_sorted_with_what_is_unknown_at_the_end(sort: str) -> None:
    names = ("clients", "sessions", "received", "sent", "p99", "lag", "dropped")
    many: dict[str, float] = dict.fromkeys((*names, "moving", "cpu", "memory"), 2.0)
    few = dict.fromkeys(many, 1.0)
    rows = [
        Figures("a", "gate", "silent"),
        Figures("b", "gate", "ready", **few),  # type: ignore[arg-type]
        Figures("c", "gate", "ready", **many),  # type: ignore[arg-type]
    ]
    found = "".join(row.name for row in ordered(rows, sort))
    assert found == ("abc" if sort in ("node", "state") else "cba")


def played(answers: Sequence[Sequence[Answer]], wanted: Wanted) -> None:
    """Show these answers, one after the other, and then end."""
    left = list(answers)

    async def source() -> Sequence[Answer]:
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    show("chat", source, wanted)


def test_elsewhere_than_on_a_terminal_there_is_a_table_for_each_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = Metrics()
    answers = []
    for second in range(3):
        metrics.route("A.b").received(1, 5)
        now = node(metrics, float(second), ready=1)
        answers.append([Answer("gate-1", "gate", now), Answer("gate-2", "gate", None)])
    played(answers, Wanted(0.001, "node", once=False, form="table"))
    first, second_, rest = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[1].split() == second_.splitlines()[1].split()
    assert rest == ""
    assert "2 nodes (1 silent), 0 clients, 1.0 in/s, 0 out/s" in first
    assert first.splitlines()[3].split()[2:5] == ["does", "not", "answer"]


def test_json_is_a_line_for_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        [Answer("gate-1", "gate", node(Metrics(), float(second), ready=1))]
        for second in range(2)
    ]
    played(answers, Wanted(0.001, "node", once=True, form="json"))
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["cluster"] == "chat"
    assert told["total"]["nodes"] == 1
    assert told["nodes"][0]["received"] == 0
    assert told["nodes"][0]["p99"] is None


SCREEN = """\
import asyncio, sys
from nano.cli.top.figures import Answer
from nano.cli.top.live import Wanted, show
from nano.cli.top.scrapes import Scrape

looks = 0

async def source():
    global looks
    looks += 1
    if looks == {fails}:
        from nano.errors import NanoError
        raise NanoError("the supervisor is gone")
    text = 'nano_ready 1\\nnano_connections{{listener="ws"}} %d\\n' % (looks + 40)
    return [Answer("gate-1", "gate", Scrape(text, float(looks)))]

try:
    show("chat", source, Wanted(0.05, "node", False, "table"))
except Exception as error:
    sys.exit(f"told: {{error}}")
"""


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, program: str) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        self._raw = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm", "LINES": "20", "COLUMNS": "130"},
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def shown(self) -> str:
        """All that was written to it, without the terminal's commands."""
        text = self._raw.decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[=>]", " ", text)

    def until(self, text: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], 0.1)[0]:
            return True
        try:
            got = os.read(self._fd, 65536)
        except OSError:  # it has ended
            return False
        if b"\x1b[6n" in got:  # asked where the cursor is
            os.write(self._fd, b"\x1b[1;1R")
        self._raw += got
        return bool(got)

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def end(self) -> int:
        with contextlib.suppress(OSError):
            while self._read() and self.process.poll() is None:
                pass
        return self.process.wait(60)


@pytest.mark.process
def test_a_terminal_is_drawn_anew_and_obeys_its_keys() -> None:
    terminal = Terminal(SCREEN.format(fails=-1))
    terminal.until("chat: 1 node,")
    terminal.until("sorts by node")
    terminal.type(">")
    terminal.until("state")  # what has not changed is not drawn again
    terminal.type("q")
    assert terminal.end() == 0


@pytest.mark.process
def test_what_fails_ends_the_screen_and_is_told_below() -> None:
    terminal = Terminal(SCREEN.format(fails=3))
    terminal.until("told: the supervisor is gone")
    assert terminal.end() == 1


@pytest.mark.process
def test_a_terminal_lets_go_at_an_interrupt() -> None:
    terminal = Terminal(SCREEN.format(fails=-1))
    terminal.until("chat: 1 node,")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0


def test_a_name_that_nobody_listens_at_does_not_answer() -> None:
    from nano.cli.top.asking import scrape as ask
    from nano.local.ports import free_ports

    (port,) = free_ports(1)
    assert asyncio.run(ask(f"127.0.0.1:{port}")) is None
    assert asyncio.run(ask(f"unix:{Path('/nowhere')}")) is None
