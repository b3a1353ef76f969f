"""Streams that move, over ways in memory: every interleaving keeps all, in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from nano.cluster.moving import LAST, Movable
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError

PATIENCE = 10.0


class Pipe:
    """One direction of a way: what is written comes, some turns of the loop later."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._batches: asyncio.Queue[bytes] = asyncio.Queue(3)  # and no more at once

    async def put(self, batch: bytes) -> None:
        await self._pause()
        await self._batches.put(batch)

    async def get(self) -> bytes:
        batch = await self._batches.get()
        await self._pause()
        return batch

    async def _pause(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


class End:
    """One side of a way."""

    def __init__(self, there: Pipe, here: Pipe) -> None:
        self._there, self._here = there, here

    async def read(self) -> pb.Batch | None:
        return pb.Batch.FromString(await self._here.get())

    async def write(self, batch: bytes) -> None:
        await self._there.put(batch)


def way(chance: random.Random) -> tuple[End, End]:
    there, back = Pipe(chance), Pipe(chance)
    return End(there, back), End(back, there)


class Side(Movable[End]):
    """A node's side of a stream, and how often it has moved."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.moves = 0

    def _moved(self) -> None:
        self.moves += 1

    def may_come(self, end: End) -> None:
        self._next = end

    def may_go(self) -> None:
        self._may_write = True

    @property
    def can_move(self) -> bool:
        return self._next is None


def numbered(number: int) -> bytes:
    return pb.Batch(envelopes=[pb.Envelope(id=number)]).SerializeToString()


async def send(side: Side, count: int, chance: random.Random) -> None:
    for number in range(count):
        await side.write(numbered(number))
        if chance.random() < 0.3:
            await asyncio.sleep(0)


async def receive(side: Side, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        batch = await side.read()
        assert batch is not None
        found += [envelope.id for envelope in batch.envelopes]
    return found


async def move(sides: list[Side], times: int, chance: random.Random) -> None:
    """Have them move again and again: who serves agrees first, who dials hears of it.

    Both expect the other before either may write, as it is on the wire.
    """
    for _ in range(times):
        while not all(side.can_move for side in sides):  # noqa: ASYNC110  # as they like
            await asyncio.sleep(0)
        for side, end in zip(sides, way(chance), strict=True):
            side.may_come(end)
        for side in chance.sample(sides, 2):
            side.may_go()
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(200))
async def test_all_arrives_in_order_however_it_interleaves(seed: int) -> None:
    chance = random.Random(seed)
    sides = [Side(end) for end in way(chance)]
    count = 120
    moving = asyncio.create_task(move(sides, 1000, chance))
    async with asyncio.timeout(PATIENCE):
        *_, one, two = await asyncio.gather(
            *(send(side, count, chance) for side in sides),
            *(receive(side, count) for side in sides),
        )
    moving.cancel()
    assert one == two == list(range(count)), f"seed {seed}"
    assert all(side.moves > 3 for side in sides), f"seed {seed}"


async def test_a_last_batch_out_of_place_ends_the_stream() -> None:
    here, there = way(random.Random(1))
    side = Side(here)
    await there.write(LAST)
    with pytest.raises(ClusterError, match="nobody knows where"):
        await side.read()
