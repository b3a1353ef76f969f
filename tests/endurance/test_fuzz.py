"""The short form of the fuzzing, and that its judge is not asleep."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

import pytest

from nano.protocol.messages import encode_response
from nano.protocol.packets import PacketType, encode_packet

from .census import settled, witness
from .foretell import foretell
from .fuzz import complaint, fuzz
from .gate import running_gate
from .transcripts import Case, make_case

CASES = 4000


@pytest.mark.process
@pytest.mark.slow
async def test_a_gate_does_with_anything_what_the_protocol_foretells() -> None:
    seed = 1 if os.environ.get("NANO_REQUIRE_ALL") else secrets.randbits(32)
    print(f"seed {seed}")  # shown if it fails
    with running_gate(resume_seconds=1) as gate:
        before = await witness(gate)
        figures = await fuzz(gate, seed, range(CASES))
        assert figures.complaints == []
        assert figures.connections.total() == CASES
        assert figures.share >= 0.5, figures
        assert figures.served > 0
        assert await settled(gate, before) == {}
        assert gate.log == ""


def test_a_case_is_made_again_from_its_seed_and_number() -> None:
    cases = [make_case(7, number) for number in range(300)]
    assert cases == [make_case(7, number) for number in range(300)]
    assert len({case.wire for case in cases}) > 250
    assert {case.transport for case in cases} == {"tcp", "websocket"}
    for case in cases:
        assert b"".join(case.chunks) == case.upgrade + case.wire


def an_honest_case() -> tuple[Case, bytes]:
    """Return a case and what a gate says to it."""
    wire = bytes.fromhex("0100000002000000") + b"\x04\0\0\x0c\0\x01\x09Yard.echo"
    heard = encode_packet(PacketType.HANDSHAKE, b'{"code":200}')
    case = Case(1, "tcp", b"", True, wire + b"\x06\0\0\0", (), "eof")
    heard += encode_response(1, b"")
    return case, heard


def test_what_is_as_foretold_is_no_complaint() -> None:
    case, heard = an_honest_case()
    kick = encode_packet(PacketType.KICK, b'{"reason":"packet type 6 does not exist"}')
    assert complaint(case, foretell(case), heard + kick) == ""


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (b"", "kicks"),
        (encode_packet(PacketType.KICK, b'{"reason":"bye"}'), "kicks"),
        (encode_response(1, b""), "answers"),
        (encode_packet(PacketType.HANDSHAKE, b'{"code":200}'), "greetings"),
        (b"\x07\0\0\0", "packet type 7"),
    ],
)
def test_what_is_not_as_foretold_is_complained_of(more: bytes, why: str) -> None:
    case, heard = an_honest_case()
    assert why in complaint(case, foretell(case), heard + more)


def test_an_upgrade_that_is_refused_is_complained_of() -> None:
    case, _ = an_honest_case()
    refused = replace(case, transport="websocket")
    assert "HTTP/1.1 400" in complaint(
        refused, foretell(refused), b"HTTP/1.1 400 Bad Request\r\n\r\n"
    )
