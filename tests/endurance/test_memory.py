"""The short forms of ``idle.py`` and ``stuck.py``: memory, and no times."""

from __future__ import annotations

import asyncio

import pytest

from .gate import running_gate
from .idle import HEARTBEAT, MOST, cost_of_one, many_files
from .stuck import BACKLOG, PUSH, cost_of_stopping

pytestmark = [pytest.mark.process, pytest.mark.slow]

CONNECTIONS = 2000
READERS = 10


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
def test_an_idle_connection_costs_little(transport: str) -> None:
    many_files()
    with running_gate(client_heartbeat_seconds=HEARTBEAT) as gate:
        websocket = transport == "websocket"
        address = gate.websocket if websocket else gate.tcp
        cost = cost_of_one(gate.pid, address, CONNECTIONS, websocket=websocket)
    assert cost <= MOST


async def test_a_client_that_stops_reading_costs_no_more_than_its_backlog() -> None:
    with running_gate(backlog_bytes=BACKLOG) as gate:
        cost = await cost_of_stopping(gate, READERS)
        closed = await asyncio.to_thread(gate.closed)
        assert closed["slow-client"] == READERS
        # and the write that found it too large; what a heap is larger than its content
        assert cost <= BACKLOG + 4 * PUSH
        assert gate.log == ""
