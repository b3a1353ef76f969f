"""Feed the protocol with what a gate is fuzzed with, and no socket in between.

``python -m tests.endurance.feed [--number N] [--seed N]``.  The server's end reads the
cases as they are cut, and is played as a transport plays it; the client's end reads
what comes of it, and mutations of that.  Nothing but ``ProtocolError`` may come out of
what was read, and nothing but ``EncodeError`` out of what was to be written; whatever
else does ends the program.  ``test_coverage.py`` runs it to see how much of the
protocol the cases reach.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
from typing import Final

from nano.errors import EncodeError, ProtocolError
from nano.protocol.client import ClientConnection
from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.handshake import ServerHello
from nano.protocol.lifecycle import State
from nano.protocol.messages import (
    PUSH,
    Message,
    encode_message,
    encode_push,
    encode_response,
    head_of_push,
)
from nano.protocol.packets import HEARTBEAT_PACKET
from nano.transports.frames import FrameReader

from .foretell import FRAME_LIMIT
from .transcripts import DICTIONARY, Case, make_case, mutated

__all__ = ["feed"]

HELLO: Final = ServerHello(1.5, 1795230266, DICTIONARY)


class _Server:
    """The server's end, and what it writes."""

    def __init__(self, chance: random.Random) -> None:
        self.written = bytearray()
        self._chance = chance
        self._connection = Connection(DICTIONARY)

    def read(self, data: bytes) -> None:
        """Do with *data* what a transport does."""
        for event in self._connection.receive(data):
            if isinstance(event, HandshakeRequested):
                if self._chance.random() < 0.05:
                    self.read(data)  # it comes before the answer is decided upon
                if self._connection.state is State.ASKING:
                    self.written += self._connection.accept(HELLO)
                    self.read(b"")
            elif isinstance(event, ProtocolError):
                self.written += self._connection.kick(str(event))
            else:
                with contextlib.suppress(EncodeError):
                    self._answer(event)

    def _answer(self, message: Message) -> None:
        """Write what a handler might: an answer, an error, a push to any route."""
        payload = message.payload
        failed = self._chance.random() < 0.2
        if message.id:
            self.written += encode_response(message.id, payload, failed)
        self.written += encode_push(head_of_push(message.route, DICTIONARY), payload)
        if failed:
            self.written += HEARTBEAT_PACKET
            route = self._chance.choice(("onPush", "r" * 256, "\ud800"))
            kind = self._chance.choice((PUSH, 7))
            number = self._chance.choice((1, 1 << 64))
            message = Message(kind, number, route, payload)
            self.written += encode_message(message, DICTIONARY)

    def end(self) -> None:
        """Send the client away, if it is still there."""
        if self._connection.state is not State.CLOSED:
            self.written += self._connection.kick("bye", reconnect=True)


def _client_reads(data: bytes, chance: random.Random) -> None:
    client = ClientConnection()
    client.greet(chance.choice((None, {"name": "ann"})))
    cut = chance.randrange(len(data) + 1)
    with contextlib.suppress(ProtocolError):
        client.receive(data[:cut])
        client.acknowledge()
        client.request("Yard.hello", data[:40])
        client.notify("Yard.echo", data[:40])
        client.receive(data[cut:])


def _streams(case: Case) -> list[bytes]:
    """Return the bytes of the client protocol in *case*, in the pieces that come."""
    if case.transport == "tcp":
        return case.chunks
    reader, found = FrameReader(FRAME_LIMIT), []
    for chunk in Case(0, "", b"", True, case.wire, case.cuts, "").chunks:
        frames = reader.receive(chunk)
        found.append(frames.data)
        if frames.error is not None or frames.close is not None:
            break
    return found


def feed(seed: int, number: int) -> None:
    """Feed both ends with the first *number* cases of *seed*."""
    for at in range(number):
        chance = random.Random(f"{seed}:{at}:feed")
        server = _Server(chance)
        for data in _streams(make_case(seed, at)):
            server.read(data)
        server.end()
        written = bytes(server.written)
        _client_reads(written, chance)
        _client_reads(mutated(chance, written, 1 + at % 5), chance)


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.feed",
    )
    parser.add_argument("--number", type=int, default=20_000, help="of cases")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    feed(args.seed, args.number)


if __name__ == "__main__":
    main()
