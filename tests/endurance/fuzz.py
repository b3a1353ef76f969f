"""Send a gate what no client should, and see that it does what the protocol foretells.

``python -m tests.endurance.fuzz [--number 200000] [--seed N]``, some four minutes, or
``make endurance``.  A gate runs as a process with its two listeners.  Every case is a
valid transcript that was mutated (:mod:`~tests.endurance.transcripts`), sent on a
connection of its own; what comes back is compared with what the protocol alone makes of
the same bytes (:mod:`~tests.endurance.foretell`), read by other eyes: those of the
client's protocol and of the ``websockets`` library.  Meanwhile clients that behave are
served, and at the end nothing is left of anybody, and the gate has logged nothing: what
a client's bytes raise is a ``ProtocolError``, and that is no event for a log.

A case that fails is written to ``.build/fuzz`` as a file; ``--replay FILE`` sends it
again, and ``--seed N --only NUMBER`` makes it again.  Half of the connections and more
must reach the state in which messages count; the figures that are printed say how many.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from nano.client import Client
from nano.errors import ProtocolError
from nano.protocol.client import Accepted, ClientConnection, ClientEvent, Kicked
from nano.protocol.messages import RESPONSE, Message

from .census import settled, witness
from .foretell import Foretold, foretell
from .gate import Gate, running_gate
from .guest import ENDLESS, Guest
from .transcripts import Case, make_case

__all__ = ["Figures", "complaint", "fuzz"]

ROOT: Final = Path(__file__).parents[2]
AT_ONCE: Final = 64  # connections
MOST_COMPLAINTS: Final = 10  # then it is time to look at them
PAUSE: Final = 0.02  # seconds between two requests of a client that behaves
END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Figures:
    """What a run has seen.

    Attributes:
        connections: All of them, by transport.
        working: Those that came to the working state, and went in a way that shows it.
        answered: Those that got an answer to a request.
        kicked: Those that were sent away.
        served: What the clients that behave were answered meanwhile.
        complaints: What was not as foretold, by file.
    """

    connections: Counter[str] = field(default_factory=Counter)
    working: int = 0
    answered: int = 0
    kicked: int = 0
    served: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part of the connections that came to work."""
        return self.working / max(1, self.connections.total())

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {it}" for kind, it in self.connections.items())
        return (
            f"{self.connections.total()} connections ({kinds}): "
            f"{self.share:.1%} worked, {self.answered} were answered, "
            f"{self.kicked} kicked; others were answered {self.served} times "
            f"meanwhile; {len(self.complaints)} complaints"
        )


# -------------------------------------------------------------- what has come back


def _events(case: Case, heard: bytes) -> tuple[list[ClientEvent], int]:
    """Read what a gate has said; return the events and the code of its close frame.

    Raises:
        ProtocolError: No client could read it.
    """
    client = ClientConnection()
    if case.transport == "tcp":
        return client.receive(heard), 0
    head, _, body = heard.partition(END_OF_HEAD)
    if not head.startswith(b"HTTP/1.1 101 "):
        message = f"the upgrade was answered {head[:60]!r}"
        raise ProtocolError(message)
    browser = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)
    browser.receive_data(body)
    if browser.parser_exc is not None:
        message = f"no frames: {browser.parser_exc}"
        raise ProtocolError(message)
    events: list[ClientEvent] = []
    for frame in browser.events_received():
        if isinstance(frame, Frame) and frame.opcode is Opcode.BINARY:
            found = client.receive(bytes(frame.data))
            if len(found) != 1:
                message = f"{len(found)} packets in a frame"
                raise ProtocolError(message)
            events += found
    closed = browser.close_rcvd
    return events, int(closed.code) if closed is not None else 0


def complaint(case: Case, told: Foretold, heard: bytes) -> str:
    """Say what in *heard* is not as foretold; nothing if all is."""
    try:
        events, close = _events(case, heard)
    except ProtocolError as error:
        return str(error)
    greetings = sum(isinstance(event, Accepted) for event in events)
    answers = [
        event.id
        for event in events
        if isinstance(event, Message) and event.type == RESPONSE
    ]
    kicks = [event.reason for event in events if isinstance(event, Kicked)]
    wanted = [told.kick] if told.kick else []
    if not told.certain:  # an error of the protocol does not wait for its turn either
        unasked = Counter(answers) - Counter(told.answers)
        fine = not unasked and len(kicks) <= 1
        return "" if fine else f"unasked answers {dict(unasked)}, or kicks: {kicks}"
    for what, is_so, should in (
        ("greetings", greetings, told.greetings),
        ("answers", answers, told.answers),
        ("kicks", kicks, wanted),
        ("close code", close, told.close),
    ):
        if is_so != should:
            return f"{what}: {is_so!r}, not {should!r}"
    return ""


# --------------------------------------------------------------------- connections


async def _send(gate: Gate, case: Case, figures: Figures) -> str:
    """Play *case*; return what was wrong."""
    figures.connections[case.transport] += 1
    address = gate.tcp if case.transport == "tcp" else gate.websocket
    source = f"127.0.{case.number % 200 + 1}.1"  # for the sake of their ports
    guest = await Guest.come(address, source)
    for chunk in case.chunks:
        guest.say(chunk)
        await asyncio.sleep(0)
    if case.ending == "eof":
        guest.say_no_more()
        try:
            return _judge(case, await guest.ended(), figures)
        except TimeoutError:
            guest.reset()
            return f"{ENDLESS}; it had said {bytes(guest.heard)[:200]!r}"
    if case.ending == "close":
        guest.close()
    else:
        guest.reset()
    return ""


def _judge(case: Case, heard: bytes, figures: Figures) -> str:
    if not case.intact:
        fine = not heard or heard.startswith(b"HTTP/1.1 ")
        return "" if fine else f"a broken upgrade was answered {heard[:60]!r}"
    told = foretell(case)
    figures.working += told.working
    figures.answered += bool(told.answers)
    figures.kicked += bool(told.kick)
    return complaint(case, told, heard)


def _keep(seed: int, case: Case, why: str) -> str:
    """Write *case* down; return the name of the file and what is wrong."""
    folder = ROOT / ".build" / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{seed}-{case.number}.json"
    said = {
        "seed": seed,
        "number": case.number,
        "transport": case.transport,
        "ending": case.ending,
        "upgrade": case.upgrade.hex(),
        "wire": case.wire.hex(),
        "cuts": case.cuts,
        "why": why,
    }
    file.write_text(json.dumps(said, indent=1))
    return f"{file.relative_to(ROOT)}: {why}"


def _kept(file: Path) -> Case:
    said = json.loads(file.read_text())
    upgrade = bytes.fromhex(said["upgrade"])
    plain = make_case(said["seed"], said["number"])
    return Case(
        said["number"],
        said["transport"],
        upgrade,
        plain.intact,
        bytes.fromhex(said["wire"]),
        tuple(said["cuts"]),
        said["ending"],
    )


async def _behave(client: Client, figures: Figures) -> None:
    """Ask as a good client does, until cancelled; every answer must be right."""
    pushed: list[object] = []
    client.on("onPush", pushed.append)
    number = 0
    while True:
        answer = await client.request("Yard.hello", {"name": "bob", "n": number})
        assert answer == {"name": "hello bob", "n": number + 1}, answer
        await client.notify("Yard.push", number)
        number += 1
        assert await client.request("Yard.echo", number) == number
        assert pushed == list(range(number)), pushed[-3:]
        figures.served += 2
        await asyncio.sleep(PAUSE)


async def fuzz(
    gate: Gate, seed: int, numbers: Iterable[int], cases: Iterable[Case] = ()
) -> Figures:
    """Play the cases of *seed* with *numbers*, and *cases*, against *gate*."""
    figures = Figures()
    todo: Iterator[Case] = chain(cases, (make_case(seed, it) for it in numbers))

    async def work() -> None:
        for case in todo:
            why = await _send(gate, case, figures)
            if why:
                figures.complaints.append(_keep(seed, case, why))
            if len(figures.complaints) >= MOST_COMPLAINTS:
                return

    async with contextlib.AsyncExitStack() as stack:
        good = [
            await stack.enter_async_context(await gate.client(transport))
            for transport in ("tcp", "websocket")
        ]
        behaving = [asyncio.create_task(_behave(it, figures)) for it in good]
        working = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
        tasks = [*behaving, *working]
        running = set(tasks)
        while running & set(working):
            done, running = await asyncio.wait(
                running, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task in behaving or task.exception() for task in done):
                break
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                figures.complaints.append(f"{result!r}")
    return figures


async def main() -> int:
    """Run as the command line says; print the figures; 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.fuzz",
    )
    parser.add_argument("--number", type=int, default=200_000, help="of connections")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--only", type=int, help="one case of the seed")
    parser.add_argument("--replay", type=Path, help="a case that was written down")
    args = parser.parse_args()
    numbers = range(args.number) if args.only is None else [args.only]
    cases = [_kept(args.replay)] if args.replay else []
    print(f"seed {args.seed}", flush=True)
    began = time.monotonic()
    with running_gate(resume_seconds=1) as gate:
        before = await witness(gate)
        figures = await fuzz(gate, args.seed, [] if cases else numbers, cases)
        left = await settled(gate, before)
        log = gate.log
    print(figures)
    print(f"left behind: {left or 'nothing'}; seconds: {time.monotonic() - began:.0f}")
    print(f"logged: {log or 'nothing'}")
    print(*figures.complaints, sep="\n")
    return 1 if figures.complaints or left or log else 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
