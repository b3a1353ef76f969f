"""Four in a row: matches outlive connections, rollouts and deaths."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

import nano.client
from examples.fourinarow.four.board import COLUMNS, ROWS, four, place
from nano import RequestError
from nano.client import Client
from nano.local.ports import free_ports
from nano.node import Role
from nano.testing import MemoryClient, MemoryCluster
from nano_manifest import load
from tests.js.browser import CURE, Browser, Tab, browser, find_chromium

from .running import SECONDS, Running, running

GAME = Path(__file__).parents[2] / "examples" / "fourinarow"
KEYS = {"ann": "a key of Ann, at random", "bob": "a key of Bob, at random"}
DRAW = [0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0]  # two columns full, nobody has four


@pytest_asyncio.fixture
async def game() -> AsyncIterator[MemoryCluster]:
    manifest = load(GAME / "cluster.yaml")
    backends = [it for it in manifest.spec.backends if it.name != "web"]  # has sockets
    spec = msgspec.structs.replace(manifest.spec, backends=backends)
    manifest = msgspec.structs.replace(manifest, spec=spec)
    async with MemoryCluster(manifest, app_dir=str(GAME)) as cluster:
        yield cluster


async def player(
    game: MemoryCluster, name: str, gate: int = 0, **options: Any
) -> MemoryClient:
    return await game.connect(gate=gate, user={"key": KEYS[name]}, **options)


async def two(game: MemoryCluster) -> tuple[MemoryClient, MemoryClient, str]:
    """Two players at two gates, seated, and the number of their room."""
    ann = await player(game, "ann", reconnect=True)
    bob = await player(game, "bob", gate=1)
    room = (await ann.request("GameService.create", {"name": "Ann"}))["match"]["room"]
    await bob.request("GameService.join", {"room": room, "name": "Bob"})
    return ann, bob, room


async def drop(who: MemoryClient, column: int, ply: int) -> dict[str, Any]:
    move = {"column": column, "ply": ply}
    return dict(await who.request("GameService.play", move))


async def test_two_players_play_to_the_end_and_again(game: MemoryCluster) -> None:
    ann, bob, _ = await two(game)
    assert (await ann.next_push("onMatch"))["names"] == ["Ann", "Bob"]
    assert await ann.next_push("onPresence") == {"seat": 1, "here": True}
    for ply, column in enumerate([3, 0, 3, 0, 3, 0]):
        seen = await drop((ann, bob)[ply % 2], column, ply)
        assert seen["turn"] == (ply + 1) % 2
    won = await drop(ann, 3, 6)
    assert (won["winner"], won["turn"], won["wins"]) == (0, None, [1, 0])
    assert won["row"] == [[3, 0], [3, 1], [3, 2], [3, 3]]
    await game.clock.settle()
    assert bob.received("onMatch")[-1] == won
    with pytest.raises(RequestError, match="NANO-409: nobody is to play"):
        await drop(bob, 1, 7)
    both = [who.request("GameService.again", {"round": 1}) for who in (ann, bob)]
    one, other = await asyncio.gather(*both)
    assert one == other
    assert (one["round"], one["turn"], one["moves"]) == (2, 1, [])


async def test_a_match_goes_on_while_all_backends_are_replaced(
    game: MemoryCluster,
) -> None:
    ann, bob, _ = await two(game)
    for ply in range(12):
        old = game.backends["game"][0]
        await game.start(Role.BACKEND, "game")
        if ply % 3 == 2:
            await game.kill(old)
            await game.clock.advance(30)
        else:
            await old.stop()
            game.backends["game"].remove(old)
        seen = await drop((ann, bob)[ply % 2], DRAW[ply], ply)
        assert seen["moves"] == DRAW[: ply + 1]


async def test_a_player_who_is_cut_off_comes_back(game: MemoryCluster) -> None:
    ann, bob, room = await two(game)
    await drop(ann, 3, 0)
    ann.line.cut()
    await drop(bob, 3, 1)
    await game.clock.advance(5)
    assert ann.received("onMatch")[-1]["moves"] == [3, 3]  # the session was kept
    await drop(ann, 3, 2)
    await bob.close()
    await game.clock.settle()
    assert ann.received("onPresence")[-1] == {"seat": 1, "here": False}
    again = await player(game, "bob")  # another session, at another gate
    seated = await again.request("GameService.join", {"room": room, "name": "Bob"})
    assert (seated["seat"], seated["here"]) == (1, [True, True])
    assert seated["match"]["moves"] == [3, 3, 3]
    await drop(again, 0, 3)


async def test_a_seat_is_taken_once(game: MemoryCluster) -> None:
    ann = await player(game, "ann")
    seated = await ann.request("GameService.create", {"name": "Ann"})
    entrance = {"room": seated["match"]["room"], "name": "?"}
    others = [
        await game.connect(gate=number % 2, user={"key": f"some other key, {number}"})
        for number in range(6)
    ]
    asked = [other.request("GameService.join", entrance) for other in others]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [it for it in answers if isinstance(it, RequestError)]
    assert [it.status for it in refused] == [409] * 5


async def test_what_is_sent_twice_is_done_once(game: MemoryCluster) -> None:
    ann, bob, _ = await two(game)
    assert await drop(ann, 3, 0) == await drop(ann, 3, 0)
    with pytest.raises(RequestError, match="NANO-409: it is Bob's turn"):
        await drop(ann, 3, 1)
    with pytest.raises(RequestError, match="NANO-409: ply: 1 pieces"):
        await drop(bob, 3, 0)
    for ply in range(1, 6):
        await drop((ann, bob)[ply % 2], 3, ply)
    with pytest.raises(RequestError, match="NANO-409: column: it is full"):
        await drop(ann, 3, 6)
    with pytest.raises(RequestError, match=r"NANO-400: .*column"):
        await drop(ann, 7, 6)


async def test_what_is_sent_twice_is_told_twice(game: MemoryCluster) -> None:
    ann, bob, _ = await two(game)
    move = await drop(ann, 3, 0)
    await game.clock.settle()
    assert bob.received("onMatch")[-1] == move
    # whoever did it may have died before it told the other player
    assert await drop(ann, 3, 0) == move
    await game.clock.settle()
    assert bob.received("onMatch") == [move]


async def test_strangers_are_told_what_is_missing(game: MemoryCluster) -> None:
    with pytest.raises(Exception, match="401"):
        await game.connect(user={"key": "short"})
    ann = await player(game, "ann")
    with pytest.raises(RequestError, match="NANO-403: you are in no match"):
        await drop(ann, 0, 0)
    with pytest.raises(RequestError, match="NANO-404: room: there is no match 123456"):
        await ann.request("GameService.join", {"room": "123456", "name": "Ann"})
    with pytest.raises(RequestError, match="NANO-400"):
        await ann.request("GameService.join", {"room": "12", "name": "Ann"})
    with pytest.raises(RequestError, match="NANO-404"):
        await ann.request("GameService.decide", {})


# --------------------------------------------------------------------- the rules


@pytest.mark.parametrize(
    ("moves", "row"),
    [
        ([], []),
        ([0, 1, 0, 1, 0, 1], []),
        ([0, 1, 0, 1, 0, 1, 0], [(0, 0), (0, 1), (0, 2), (0, 3)]),
        ([1, 1, 2, 2, 4, 4, 3], [(1, 0), (2, 0), (3, 0), (4, 0)]),
        ([0, 1, 1, 2, 2, 3, 2, 3, 3, 6, 3], [(0, 0), (1, 1), (2, 2), (3, 3)]),
        ([6, 5, 5, 4, 4, 3, 4, 3, 3, 0, 3], [(3, 3), (4, 2), (5, 1), (6, 0)]),
        (DRAW, []),
    ],
)
def test_four_in_a_row(moves: list[int], row: list[tuple[int, int]]) -> None:
    assert four(moves) == row


def test_a_column_holds_six() -> None:
    assert [place([2] * count, 2) for count in range(7)] == [
        *((2, row) for row in range(ROWS)),
        None,
    ]
    assert COLUMNS == 7


# ------------------------------------------------------------------ as processes


class Cluster(NamedTuple):
    """The example, running: its processes, the gates' port, the page."""

    processes: Running
    port: int
    page: str


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    port, page = free_ports(2)
    env = {"GAME_PAGE_PORT": str(page)}
    folder = tmp_path_factory.mktemp("e")
    with running("fourinarow", folder, {3250: port}, env) as cluster:
        yield Cluster(cluster, port, f"http://127.0.0.1:{page}/")


async def insist(client: Client, route: str, message: object) -> Any:
    """Ask again while nobody serves it: what is done twice is done once."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await client.request(route, message)
            except RequestError as error:
                if error.status not in (503, 504):
                    raise


@pytest.mark.process
@pytest.mark.timeout(300)
async def test_a_match_survives_the_death_of_each_backend(
    cluster: Cluster,
) -> None:
    running, port, _ = cluster
    url = f"ws://127.0.0.1:{port}/"
    nodes = re.findall(r"game-\d: pid \d+, node (\S+),", running.said)
    assert len(nodes) == 2
    async with await nano.client.connect(url, user={"key": KEYS["ann"]}) as ann:
        seated = await ann.request("GameService.create", {"name": "Ann"})
        entrance = {"room": seated["match"]["room"], "name": "Bob"}
        for ply, column in enumerate(DRAW):
            if ply in (3, 8):  # at each time one of the two is there
                said = len(running.said)
                killed = running.kill(nodes.pop())
            if ply % 2:  # by a new session each time
                user = {"key": KEYS["bob"]}
                async with await nano.client.connect(url, user=user) as bob:
                    await insist(bob, "GameService.join", entrance)
                    move = {"column": column, "ply": ply}
                    seen = await insist(bob, "GameService.play", move)
            else:
                if not ply:
                    user = {"key": KEYS["bob"]}
                    async with await nano.client.connect(url, user=user) as bob:
                        await insist(bob, "GameService.join", entrance)
                move = {"column": column, "ply": ply}
                seen = await insist(ann, "GameService.play", move)
            assert seen["moves"] == DRAW[: ply + 1]
            if ply in (3, 8):
                await asyncio.to_thread(
                    running.wait_for, rf"{killed} +\| .*is ready", said
                )
    assert not nodes


@pytest.mark.process
@pytest.mark.timeout(300)
def test_the_players_of_the_readme_play(cluster: Cluster, tmp_path: Path) -> None:
    port = cluster.port
    (source,) = re.findall(
        r"^```python\n(.*?)^```", (GAME / "README.md").read_text(), re.M | re.S
    )
    program = tmp_path / "player.py"
    program.write_text(source.replace("3250", str(port)))
    command = [sys.executable, "-u", str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ann:
        try:
            assert ann.stdout is not None
            said = ann.stdout.readline()
            room = said.split()[1]
            bob = subprocess.run(
                [*command, room],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=True,
            )
            assert bob.stdout.splitlines() == [f"room {room} seat 1", "won by Ann"]
            rest, _ = ann.communicate(timeout=SECONDS)
            assert rest.splitlines() == ["won by Ann"]
        finally:
            ann.kill()


@pytest.mark.process
@pytest.mark.timeout(300)
async def test_two_windows_play_while_a_backend_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(CURE)
    async with browser(chromium, tmp_path / "profile") as chrome:
        ann = await sit_down(chrome, cluster.page, "Ann")
        bob = await sit_down(chrome, await ann.evaluate("location.href"), "Bob")
        players = (ann, bob)
        node, _ = re.findall(r"game-\d: pid \d+, node (\S+),", cluster.processes.said)
        for ply, column in enumerate([3, 0, 3, 0, 3, 0, 3]):
            if ply == 4:
                said = len(cluster.processes.said)
                killed = cluster.processes.kill(node)
            tab = players[ply % 2]
            await tab.until("document.querySelector('#said').textContent=='Your turn'")
            await tab.evaluate(
                f"document.querySelectorAll('.column')[{column}].click()"
            )
        for tab, text in zip(players, ("You have won!", "Ann has won"), strict=True):
            await tab.until(f"document.querySelector('#said').textContent == '{text}'")
            assert await tab.evaluate("document.querySelectorAll('.won').length") == 4
        await bob.evaluate("window.old = true; location.reload()")
        await bob.until("!window.old && document.querySelectorAll('.won').length === 4")
        await bob.evaluate("document.querySelector('#again').click()")
        await ann.until("document.querySelector('#said').textContent.includes('think')")
        await asyncio.to_thread(
            cluster.processes.wait_for, rf"{killed} +\| .*is ready", said
        )


async def sit_down(chrome: Browser, page: str, name: str) -> Tab:
    """A window whose player has a seat."""
    tab = await chrome.open(page)
    await tab.until("document.querySelector('#start button:enabled') !== null")
    await tab.evaluate(
        f"document.querySelector('#name').value = '{name}';"
        "document.querySelector('#start button').click()"
    )
    await tab.until("document.body.dataset.screen === 'match'")
    return tab


def test_the_readme_has_every_route() -> None:
    readme = (GAME / "README.md").read_text()
    code = (GAME / "four" / "game.py").read_text()
    names = re.findall(r"@handler\n    async def (\w+)\(self, session", code)
    names += re.findall(r'publish\("(on\w+)"', code)
    assert len(names) > 5
    assert [it for it in names if it not in readme] == []
