"""Whole stories of clusters, in ``stories/*.txt``: commands and what they lead to.

A line that begins with ``>`` is a command, what follows it is the outcome, ``#`` is
for people.  ``NANO_REWRITE_STORIES=1`` writes the outcomes anew; read the
difference before you commit it.

====================================  ==================================================
``master [go]``                       a master starts
``node NAME… [services=A,B]``         our nodes start (``heartbeat=SECONDS``, default 1)
``go NAME… [services=A,B]``           Go nodes start
``tick [SECONDS]``                    time passes, nothing arrives
``settle [newest-first]``             all that is on its way arrives, in this order
``deliver``                           the oldest call arrives
``run SECONDS``                       time passes, everything arrives
``kill/stop/freeze/thaw NAME…``       what it says; stop is with a farewell
``lose NAME``                         what is on its way to NAME gets lost
``say NAME services=A,B``             a node changes what it offers
``hear NAME + NAME [services=A,B]``   a Go master announces somebody
``hear NAME - NAME``                  a Go master announces that somebody is gone
``show``                              what everybody believes
====================================  ==================================================
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from nano.cluster.members import Member
from nano.cluster.membership import DelMember, NewMember

from .simulation import Simulation

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_written(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    told = tell(written)
    if os.environ.get("NANO_REWRITE_STORIES"):
        path.write_text(told, encoding="utf-8")
    assert told == written


def tell(written: str) -> str:
    """Play a story's commands and write their outcomes where the old ones were."""
    simulation = Simulation()
    lines: list[str] = []
    for line in written.splitlines():
        if line.startswith(">"):
            lines += [line, *play(simulation, line[1:].split())]
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def play(simulation: Simulation, words: list[str]) -> list[str]:
    """Carry out one command and say what came of it."""
    options = dict(word.split("=") for word in words if "=" in word)
    command, *names = (word for word in words if "=" not in word)
    services = tuple(filter(None, options.get("services", "").split(",")))
    heartbeat = float(options.get("heartbeat", "1"))
    begin = len(simulation.log)
    match command, names:
        case "master", _:
            simulation.start_master(go="go" in names)
        case "node", _:
            for name in names:
                simulation.start(name, services, heartbeat)
        case "go", _:
            for name in names:
                simulation.start_go(name, services, heartbeat)
        case "tick", _:
            simulation.tick(*map(float, names))
        case "settle", _:
            simulation.settle(newest_first=names == ["newest-first"])
        case "deliver", _:
            simulation.deliver()
        case "run", [seconds]:
            simulation.run(float(seconds))
        case "kill", _:
            for name in names:
                simulation.kill(name)
        case "stop", _:
            for name in names:
                simulation.stop(name)
        case "freeze", _:
            simulation.frozen.update(names)
        case "thaw", _:
            simulation.frozen.difference_update(names)
        case "lose", [name]:
            for call in [it for it in simulation.calls if it.callee == name]:
                simulation.lose(simulation.calls.index(call))
        case "say", [name]:
            simulation.say(name, services)
        case "hear", [name, "+", who]:
            node = simulation.nodes.get(who)
            known = node.me if node else Member(address=who)
            simulation.hear(name, NewMember(replace(known, services=services)))
        case "hear", [name, "-", who]:
            simulation.hear(name, DelMember(who))
        case "show", []:
            return simulation.views()
        case _:
            pytest.fail(f"no such command: {' '.join(words)}")
    return simulation.log[begin:]
