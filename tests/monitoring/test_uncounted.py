"""The node that counts nothing, beside which the cost of metrics is measured."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bench.uncounted import Silencer

ROOT = Path(__file__).parents[2]

ASKED_AND_COUNTED = """
import asyncio
from nano import Component, Session, handler
from nano.testing import MemoryNode

class EchoService(Component):
    @handler
    def echo(self, session: Session, text: str) -> str:
        return text

async def main():
    async with MemoryNode(EchoService) as node, await node.connect() as client:
        for _ in range(3):
            said = await client.request("EchoService.echo", "still here")
        print(said, node.count("nano_messages_total", direction="in"))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "statement",
    [
        "self.counts.requests += 1",
        "counts.request_bytes += len(payload)",
        "self._dispatcher.metrics.dropped['session', 'full'] += 1",
        "dropped['push', 'slow-client'] += 1",
        "self._traffic.received(len(batch))",
        "self.counts.answering.observe(took)",
    ],
)
def test_what_counts_is_taken_out(statement: str) -> None:
    silencer = Silencer()
    left = silencer.visit(ast.parse(f"if there:\n    {statement}"))
    assert ast.unparse(left) == "if there:\n    pass"
    assert silencer.taken == 1


@pytest.mark.parametrize(
    "statement",
    [
        "self._beats += 1",
        "links.observe(self)",
        "taken = self.metrics.route(name)",
        "self._waiting.append(message)",
    ],
)
def test_what_does_something_else_stays(statement: str) -> None:
    silencer = Silencer()
    assert ast.unparse(silencer.visit(ast.parse(statement))) == statement
    assert not silencer.taken


@pytest.mark.process
@pytest.mark.parametrize(
    ("before", "counted"), [((), "3.0"), (("bench/uncounted.py",), "0.0")]
)
def test_a_node_answers_as_ever_and_counts_nothing(
    tmp_path: Path, before: tuple[str, ...], counted: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(ASKED_AND_COUNTED)
    done = subprocess.run(
        [sys.executable, *before, str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"still here {counted}\n", done.stderr
