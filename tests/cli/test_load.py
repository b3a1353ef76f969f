"""`nanoctl load`: what it counts, and what it says of it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nano.cli.crowd import Load, run_load
from nano.cli.figures import Durations, Figures
from nano.cli.server import Server
from nano.errors import UsageError
from nano.testing import LocalCluster
from nano_manifest import load

ECHO = Path(__file__).parents[2] / "examples" / "echo"
PATIENCE = 60.0

# ----------------------------------------------------------------- figures


def test_percentiles_are_right_to_one_per_cent() -> None:
    took = Durations()
    assert took.percentile(0.5) == 0
    for number in range(1, 1001):
        took.add(number / 1000)
    for share in (0.5, 0.9, 0.99):
        assert share <= took.percentile(share) <= share * 1.011
    assert took.percentile(1) == took.longest == 1.0


def test_a_table_of_durations_stays_small() -> None:
    took = Durations()
    for number in range(100_000):
        took.add(number / 1000)
    took.add(0.0)
    assert len(took._counts) < 2000


def test_a_run_without_a_fault_is_told_in_lines() -> None:
    figures = Figures()
    figures.connected, figures.sent, figures.seconds = 2, 100, 2.0
    figures.answers[200] = 100
    for _ in range(100):
        figures.took.add(0.001)
    figures.busy = 0.25
    assert not figures.failed
    assert figures.lines() == [
        "clients   2",
        "sent      100 in 2.0 s",
        "answers   100, 50 a second; 200: 100",
        "failures  none",
        "took      p50 1.0 ms, p90 1.0 ms, p99 1.0 ms, max 1.0 ms",
        "generator 25% of a core, late by 0.0 ms (p99)",
    ]


def test_the_generator_says_where_it_doubts_itself() -> None:
    figures = Figures()
    figures.busy = 0.95
    figures.lag.add(0.05)
    first, second = figures.doubts
    assert first.startswith("this program has used 95% of a core")
    assert second.startswith("this program was up to 50.0 ms late itself")


def test_errors_and_silence_are_failures() -> None:
    for name in ("connect", "timeout", "closed", "behind"):
        figures = Figures()
        figures.failures[name] += 1
        assert figures.failed
    figures = Figures()
    figures.answers[404] += 1
    assert figures.failed


# ----------------------------------------------------------------- payloads


def test_a_payload_counts() -> None:
    load_ = Load(1, 1, 0, "A.b", '{"n": $n, "text": "of $client, $$1"}')
    assert load_.body(3, 7) == b'{"n":7,"text":"of 3, $1"}'


@pytest.mark.parametrize("payload", ['{"a": $m}', "$", "{a}"])
def test_a_payload_that_makes_no_sense_is_refused(payload: str) -> None:
    with pytest.raises(UsageError):
        Load(1, 1, 0, "A.b", payload).body(0, 0)


# ---------------------------------------------------------- against a cluster


@pytest.fixture
async def url() -> AsyncIterator[str]:
    manifest = load(ECHO / "cluster.yaml")
    async with LocalCluster(manifest, app_dir=str(ECHO)) as cluster:
        yield cluster.url("ws")


async def run(url: str, **more: Any) -> Figures:
    given: dict[str, Any] = {
        "clients": 3,
        "seconds": 0.3,
        "rate": 0.0,
        "route": "EchoService.echo",
    }
    wanted = Load(**({"payload": '{"text": "$n"}'} | given | more))
    server = Server(url, None, 10.0, None)
    async with asyncio.timeout(PATIENCE):
        return await run_load(server, wanted, lambda _: None)


@pytest.mark.process
@pytest.mark.parametrize("rate", [0.0, 50.0])
async def test_every_request_is_answered_and_counted(url: str, rate: float) -> None:
    figures = await run(url, rate=rate)
    assert figures.connected == 3
    assert figures.sent == figures.answers[200] == figures.took.number > 0
    assert not figures.failed
    if rate:
        assert figures.sent <= 16  # 50 a second for 0.3 s, and no more
        assert figures.seconds >= (figures.sent - 1) / rate
    else:
        assert figures.seconds >= 0.3


@pytest.mark.process
async def test_answers_that_are_errors_are_counted_by_status(url: str) -> None:
    figures = await run(url, route="EchoService.nothing")
    assert figures.answers.keys() == {404}
    assert figures.took.number == 0


@pytest.mark.process
async def test_a_server_that_is_not_there_is_a_failure_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code, _, err = await nanoctl("-s", f"127.0.0.1:{port}", "A.b")
    assert code == 1
    assert err.startswith("Error: nobody was let in: ")
    assert len(err.splitlines()) == 1


async def nanoctl(*args: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nano.cli", "load", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.process
async def test_the_command_reports_and_ends_with_a_code(url: str) -> None:
    args = ["-s", url, "--clients", "2", "--duration", "0.2"]
    good = [*args, "EchoService.echo", '{"text": "$n"}']
    code, out, err = await nanoctl("--json", *good)
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert figures["sent"] == figures["answers"]["200"] > 0
    assert figures["milliseconds"].keys() == {"p50", "p90", "p99", "max"}
    code, out, err = await nanoctl(*good)
    assert (code, err) == (0, "")
    assert out.startswith("clients   2\nsent ")
    code, out, _ = await nanoctl("--json", *args, "EchoService.nothing")
    assert code == 1
    assert json.loads(out)["milliseconds"] is None
    code, out, _ = await nanoctl(*args, "EchoService.nothing")
    assert code == 1
    assert "a second; 404: " in out
    code, _, err = await nanoctl(*args, "EchoService.echo", "$x")
    assert code == 2
    assert "$n and $client are replaced" in err
