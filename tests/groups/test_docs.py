"""The component of docs/groups.md works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import nano.client
from nano import Component, Group, RequestError, Session, handler
from nano.testing import LocalCluster, MemoryNode
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Spec,
)

from .test_town import until

PAGE = (Path(__file__).parents[2] / "docs" / "groups.md").read_text()


@pytest.mark.process
async def test_the_pages_component_serves_a_room(tmp_path: Path) -> None:
    source = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "groups_page.py").write_text(source)
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                listeners=[Listener(name="ws", transport="websocket", port=3250)]
            ),
            backends=[
                Backend(name="chat", replicas=2, components=["groups_page:ChatService"])
            ],
        ),
    )
    heard: list[Any] = []
    async with (
        LocalCluster(manifest, app_dir=str(tmp_path)) as cluster,
        await nano.client.connect(cluster.url("ws")) as ann,
        await nano.client.connect(cluster.url("ws")) as bob,
    ):
        for route in ("onJoin", "onMessage", "onWhisper"):
            ann.on(route, heard.append)
        assert await ann.request("ChatService.join", "ann") == {"members": 1}
        assert await bob.request("ChatService.join", "bob") == {"members": 2}
        await bob.notify("ChatService.say", "hello")
        assert await bob.request("ChatService.whisper", "ann") is True
        with pytest.raises(RequestError, match="eve is not in the room"):
            await bob.request("ChatService.whisper", "eve")
        await until(lambda: len(heard) == 3)
    assert heard == [
        {"name": "bob"},
        {"from": "bob", "text": "hello"},
        {"from": "bob"},
    ]


class Flags(Component):
    """What the page's second block stands in."""

    service = "Flags"

    async def start(self) -> None:
        self.room: Group = self.node.group("room")

    @handler
    def join(self, session: Session, team: str) -> bool:
        session.set("team", team)
        self.room.add(session)
        return True

    @handler
    def flag(self, session: Session, _: None) -> bool:
        (_, block) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
        exec(block, {"session": session, "room": self.room})
        return True


async def test_a_publish_goes_to_those_whose_data_is_named() -> None:
    async with MemoryNode(Flags) as node:
        red, blue, taker = [await node.connect() for _ in range(3)]
        for client, team in ((red, "red"), (blue, "blue"), (taker, "none")):
            await client.request("Flags.join", team)
        await taker.request("Flags.flag", None)
        for client in (red, taker):  # who has taken it is red by then
            assert await client.next_push("onFlag") == {"taken": True}
        with pytest.raises(TimeoutError):
            await blue.next_push("onFlag", timeout=0.1)
