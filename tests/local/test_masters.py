"""Who is back with a master that was replaced, asked on a control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from nano.local.masters import members_of, missing_after

pytestmark = pytest.mark.process


class Master:
    """A control socket that tells one list after the other, the last one for ever."""

    def __init__(self, socket: Path) -> None:
        self.socket = str(socket)
        self.lists: list[list[str]] = [[]]
        self.status = 200

    async def tell(self, _: web.Request) -> web.Response:
        listed = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        members = [{"address": it} for it in ("m:1", *listed)]
        told = {"address": "m:1", "members": members}
        return web.json_response(told, status=self.status)


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    made = Master(tmp_path / "control.sock")
    application = web.Application()
    application.router.add_get("/status", made.tell)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, made.socket).start()
    yield made
    await runner.cleanup()


async def test_a_master_is_not_among_its_members(master: Master) -> None:
    master.lists = [["a:1", "b:1"]]
    assert await members_of(master.socket) == {"a:1", "b:1"}


async def test_a_master_that_does_not_answer_has_no_members(
    master: Master, tmp_path: Path
) -> None:
    assert await members_of(str(tmp_path / "nobody.sock")) == set()
    master.lists, master.status = [["a:1"]], 500
    assert await members_of(master.socket) == set()


async def test_all_are_waited_for(master: Master) -> None:
    master.lists = [[], ["a:1"], ["b:1", "new:1", "a:1"]]
    assert await missing_after(60.0, master.socket, {"a:1", "b:1"}) == set()
    assert len(master.lists) == 1


async def test_who_does_not_come_in_time_is_named(master: Master) -> None:
    master.lists = [["a:1"]]
    assert await missing_after(0.2, master.socket, {"a:1", "b:1"}) == {"b:1"}


async def test_nobody_is_waited_for_where_nobody_was(tmp_path: Path) -> None:
    missing = await missing_after(60.0, str(tmp_path / "nobody.sock"), set())
    assert missing == set()
