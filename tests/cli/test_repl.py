"""Speaking to a server by hand and by script: `nanoctl repl` and `nanoctl notify`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from nano.cli.errors import Failed
from nano.cli.server import Server
from nano.cli.talk import Talk, by_hand
from nano.cli.words import Line, completions, read_line
from nano.errors import UsageError
from nano.testing import LocalCluster
from nano_manifest import load

ECHO = Path(__file__).parents[2] / "examples" / "echo"
PATIENCE = 30.0
TALK = """\
# a remark
EchoService.echo {"text": "hello"}
notify EchoService.shout {"text": "hello"}
wait onShout 5
"""

# ------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", Line("")),
        ("  # remark", Line("")),
        ("A.b", Line("request", "A.b")),
        ('A.b {"a": 1}', Line("request", "A.b", '{"a": 1}')),
        ('request  A.b  "x y"', Line("request", "A.b", '"x y"')),
        ("notify A.b null", Line("notify", "A.b", "null")),
        ("wait onNews", Line("wait", "onNews")),
        ("wait onNews 0.5", Line("wait", "onNews", seconds=0.5)),
        ("help", Line("help")),
        ("quit", Line("quit")),
    ],
)
def test_a_line_is_understood(text: str, line: Line) -> None:
    assert read_line(text) == line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello", "'hello' is no command and no route; try: help"),
        ("notify", "notify needs a route"),
        ("wait", "wait needs a route"),
        ("wait onNews 0", "seconds are a number above 0"),
        ("wait onNews soon", "seconds are a number above 0"),
        ("quit now", "quit stands alone"),
    ],
)
def test_a_line_that_means_nothing_is_told_what_would(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_line(text)


def test_commands_and_routes_are_completed() -> None:
    routes = ["B.c", "A.b", "A.a"]
    assert completions("A.", routes) == ["A.a", "A.b"]
    assert completions("", routes)[:4] == ["A.a", "A.b", "B.c", "request"]
    assert completions("no", routes) == ["notify"]
    assert completions("notify B", routes) == ["B.c"]
    assert completions("routes ", routes) == []
    assert completions("A.b {", routes) == []


# --------------------------------------------------------- against a cluster


@pytest.fixture
async def url() -> AsyncIterator[str]:
    manifest = load(ECHO / "cluster.yaml")
    async with LocalCluster(manifest, app_dir=str(ECHO)) as cluster:
        yield cluster.url("ws")


async def nanoctl(*args: str, stdin: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nano.cli", *args),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.process
async def test_a_script_comes_from_standard_input_a_file_or_the_command(
    url: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.txt"
    script.write_text(TALK)
    commands = [part for line in TALK.splitlines() for part in ("-c", line)]
    for done in [
        await nanoctl("repl", "-s", url, stdin=TALK),
        await nanoctl("repl", "-s", url, str(script)),
        await nanoctl("repl", "-s", url, *commands),
    ]:
        code, out, err = done
        assert (code, err) == (0, "")
        answer, push = out.splitlines()
        assert answer.startswith('{"text":"hello","node":"')
        assert push == '< onShout {"text":"HELLO"}'


@pytest.mark.process
async def test_the_first_line_that_fails_ends_a_script(url: str) -> None:
    script = "EchoService.nothing\nEchoService.echo {}\n"
    code, out, err = await nanoctl("repl", "-s", url, stdin=script)
    assert (code, out) == (1, "")
    assert "NANO-404" in err
    code, _, err = await nanoctl("repl", "-s", url, "-c", "wait onNews 0.1")
    assert (code, err) == (1, "Error: wait onNews 0.1: nothing came in time\n")
    code, _, err = await nanoctl("repl", "-s", url, "-c", "hello")
    assert (code, err) == (2, "Error: 'hello' is no command and no route; try: help\n")


@pytest.mark.process
async def test_the_manifest_names_the_routes(url: str) -> None:
    manifest = str(ECHO / "cluster.yaml")
    args = ["repl", "-f", manifest, "-s", url, "-c", "routes"]
    code, out, err = await nanoctl(*args)
    assert (code, err) == (0, "")
    assert out == "  EchoService.echo\n  EchoService.shout\n"


@pytest.mark.process
async def test_a_notify_may_stay_for_what_is_pushed(url: str) -> None:
    args = ["EchoService.shout", '{"text": "hello"}']
    assert await nanoctl("notify", "-s", url, *args) == (0, "", "")
    code, out, _ = await nanoctl("notify", "-s", url, "--watch", "3", *args)
    assert (code, out) == (0, '< onShout {"text":"HELLO"}\n')


async def test_a_server_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = await nanoctl("repl", "-c", "A.b")
    assert (code, err) == (2, "Error: name a server: -s URL, or -f with a manifest\n")
    (tmp_path / "cluster.yaml").write_text("kind: NanoCluster\n")  # and is this, then
    code, _, err = await nanoctl("repl", "-c", "A.b")
    assert (code, err[:24]) == (2, "Error: cluster.yaml:1: a"), err


@pytest.mark.process
async def test_what_is_typed_in_a_terminal_is_completed_and_done(url: str) -> None:
    talk = Talk(Server(url, None, 10.0, None), ["EchoService.echo"])
    shown: list[str] = []
    talk.show = shown.append
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()) as terminal,
    ):
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(by_hand(talk))
            await until(lambda: terminal.app is not None)
            app = terminal.app
            assert app is not None
            keys.send_text("Echo\t")
            await until(lambda: app.current_buffer.text == "EchoService.echo")
            keys.send_text(' {"text": "hello"}\rbad\rnope.nope\rquit\r')
    assert shown[0] == "connected; help says what can be typed"
    assert shown[1].startswith('{"text":"hello"')
    assert shown[2] == "! 'bad' is no command and no route; try: help"
    assert shown[3].startswith("! NANO-404")


@pytest.mark.process
async def test_a_connection_that_ends_ends_the_talk(url: str) -> None:
    talk = Talk(Server(url, None, 10.0, None), [])
    talk.show = lambda _: None
    with (
        create_pipe_input() as keys,
        create_app_session(input=keys, output=DummyOutput()),
    ):
        task = asyncio.create_task(by_hand(talk))
        async with asyncio.timeout(PATIENCE):
            await until(lambda: talk.client.greeting is not None)
            await talk.client.close()
            keys.send_text("EchoService.echo {}\r")
            with pytest.raises(Failed, match="the connection is over"):
                await task


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.005)
