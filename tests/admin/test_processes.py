"""Several nodes behind one pair of servers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from nano.admin import AdminServer
from nano.admin.processes import Process, Processes

from .test_admin import HEADERS, SESSION, TOKEN, Node, ask


class Part(Node):
    """One process, whose metrics have labels, escapes and a histogram."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def metrics(self) -> bytes:
        return b"""\
# HELP nano_sessions Sessions.
# TYPE nano_sessions gauge
nano_sessions{place="home"} 1.0
# HELP nano_messages_total Messages.
# TYPE nano_messages_total counter
nano_messages_total{route="a \\"b\\" \\\\"} 3.0
# HELP nano_seconds Times.
# TYPE nano_seconds histogram
nano_seconds_bucket{le="0.1"} 1.0
nano_seconds_bucket{le="+Inf"} 2.0
nano_seconds_count 2.0
nano_seconds_sum 0.5
"""

    def status(self) -> dict[str, object]:
        return {
            "role": "gate",
            "address": f"10.0.0.7:{self.number}",
            "notReady": self.reason,
            "sessions": self.number,
            "connections": 10 * self.number,
        }

    def sessions(self, limit: int) -> list[dict[str, object]]:
        return [dict[str, object](id=str(n)) for n in range(5)][:limit]

    def kick(self, session_id: int, reason: str) -> bool:
        return self.number == 2 and super().kick(session_id, reason)


class Whole:
    """Two processes and the servers that speak for both."""

    def __init__(self, folder: Path) -> None:
        self.parts = [Part(1), Part(2)]
        self.own = [
            AdminServer(
                part,
                observe=f"unix:{folder}/{part.number}.observe",
                control=f"unix:{folder}/{part.number}.control",
            )
            for part in self.parts
        ]
        self.reasons: list[str | None] = [None, None]
        self.processes = Processes(self.look)
        self._folder = folder
        self.server = AdminServer(
            self.processes,
            observe="127.0.0.1:0",
            control="127.0.0.1:0",
            token=TOKEN,
        )

    def look(self) -> list[Process]:
        return [
            Process(
                name=str(number),
                observe=f"{self._folder}/{number}.observe",
                control=f"{self._folder}/{number}.control",
                pid=100 + number,
                restarts=number - 1,
                reason=self.reasons[number - 1],
            )
            for number in (1, 2)
        ]

    async def observe(self, path: str) -> tuple[int, object]:
        return await ask(f"http://{self.server.observe_address}{path}")

    async def control(
        self, path: str, method: str = "GET", body: bytes | None = None
    ) -> tuple[int, object]:
        url = f"http://{self.server.control_address}{path}"
        return await ask(url, method, HEADERS, body)


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    made = Whole(tmp_path)
    async with AsyncExitStack() as stack:
        for server in (*made.own, made.server):
            await server.start()
            stack.push_async_callback(server.stop)
        yield made


async def test_the_whole_is_ready_when_all_are(whole: Whole) -> None:
    assert await whole.observe("/readyz") == (200, "ok\n")
    whole.parts[1].reason = "draining"
    assert await whole.observe("/readyz") == (503, "process 2: draining\n")
    whole.reasons[0] = "it is starting"
    assert await whole.observe("/readyz") == (503, "process 1: it is starting\n")
    whole.processes.reason = "stopping"
    assert await whole.observe("/readyz") == (503, "stopping\n")
    assert await whole.observe("/healthz") == (200, "ok\n")


async def test_every_sample_has_the_label_of_its_process(whole: Whole) -> None:
    status, text = await whole.observe("/metrics")
    assert status == 200
    lines = str(text).splitlines()
    for number in (1, 2):
        process = f'process="{number}"'
        for sample in (
            f'nano_sessions{{place="home",{process}}} 1.0',
            f'nano_messages_total{{{process},route="a \\"b\\" \\\\"}} 3.0',
            f'nano_seconds_bucket{{le="+Inf",{process}}} 2.0',
            f"nano_seconds_sum{{{process}}} 0.5",
            f"nano_process_up{{{process}}} 1.0",
            f"nano_process_restarts_total{{{process}}} {number - 1}.0",
        ):
            assert sample in lines
    families = [re.split(r"[ {]", it)[2] for it in lines if it.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 5


async def test_who_does_not_answer_is_left_out(whole: Whole) -> None:
    await whole.own[1].stop()
    status, text = await whole.observe("/metrics")
    assert status == 200
    assert 'nano_sessions{place="home",process="1"}' in str(text)
    assert 'nano_sessions{place="home",process="2"}' not in str(text)
    assert await whole.observe("/readyz") == (503, "process 2: it does not answer\n")
    assert (await whole.control("/sessions"))[0] == 200
    await whole.own[0].stop()
    for path in ("/status", "/sessions", "/sessions/5"):
        status, said = await whole.control(path)
        assert status == 503
        assert said == {
            "error": "no process of this gate answers; ask again in a second"
        }


async def test_status_is_one_nodes_with_its_processes(whole: Whole) -> None:
    status, told = await whole.control("/status")
    assert status == 200
    assert told == {
        "role": "gate",
        "address": "10.0.0.7:1",
        "notReady": None,
        "sessions": 3,
        "connections": 30,
        "processes": [
            {
                "process": str(number),
                "pid": 100 + number,
                "restarts": number - 1,
                "address": f"10.0.0.7:{number}",
                "notReady": None,
                "sessions": number,
            }
            for number in (1, 2)
        ],
    }


async def test_sessions_are_those_of_all_up_to_the_limit(whole: Whole) -> None:
    _, told = await whole.control("/sessions?limit=3")
    assert told == {"sessions": [{"id": str(n), "process": "1"} for n in range(3)]}
    _, told = await whole.control("/sessions")
    assert isinstance(told, dict)
    assert len(told["sessions"]) == 10
    assert (await whole.control("/sessions?limit=0"))[0] == 400


async def test_what_one_does_not_know_the_next_is_asked(whole: Whole) -> None:
    kicked = await whole.control(f"/sessions/{SESSION}", "DELETE", b'{"reason": "x"}')
    assert kicked == (200, {"kicked": str(SESSION)})
    assert whole.parts[1].kicked == [(SESSION, "x")]
    assert whole.parts[0].kicked == []
    assert (await whole.control("/sessions/7", "DELETE"))[0] == 404
    assert (await whole.control("/sessions/7", "DELETE", b"{"))[0] == 400
    assert (await whole.control("/nowhere"))[0] == 404
    assert (await whole.control("/status", "POST"))[0] == 405


async def test_all_are_told_to_drain(whole: Whole) -> None:
    status, told = await whole.control("/drain", "POST")
    assert status == 200
    assert isinstance(told, dict)
    assert [it["notReady"] for it in told["processes"]] == ["draining"] * 2
    assert told["notReady"] == "process 1: draining"
    whole.parts[1].reason = "waiting for the master"
    assert (await whole.control("/drain", "POST"))[0] == 409


async def test_nobody_without_the_token_is_answered(whole: Whole) -> None:
    for path in ("/status", "/sessions", "/nowhere"):
        url = f"http://{whole.server.control_address}{path}"
        assert (await ask(url))[0] == 401
