"""docs/protocol.md and its picture say what the code does, and what nano did."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nano.protocol.lifecycle import TRANSITIONS, State
from nano.protocol.messages import (
    COMPRESSED,
    ERROR,
    NOTIFY,
    PUSH,
    REQUEST,
    RESPONSE,
    Message,
    encode_message,
)
from nano.protocol.packets import HEADER_SIZE, PacketType, encode_packet

from .vectors import NANO

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocol.md").read_text()
TYPES = {"request": REQUEST, "notify": NOTIFY, "response": RESPONSE, "push": PUSH}


def rows(title: str) -> list[list[str]]:
    """The cells of the table below the row *title*."""
    table = PAGE.partition(f"\n{title}\n")[2].partition("\n\n")[0]
    lines = table.splitlines()[1:]
    assert lines, title
    return [[it.strip() for it in line.strip("|").split("|")] for line in lines]


def test_the_packets_of_the_page_are_pomelos() -> None:
    named = {
        int(number): name for number, name, *_ in rows("| type | name | who | body |")
    }
    ours = {it.value: it.name.lower().replace("_", "-") for it in PacketType}
    assert named == ours
    sizes = [int(size) for _, size, _ in rows("| offset | bytes | |")[:2]]
    assert sum(sizes) == HEADER_SIZE


def test_the_flags_of_the_page_are_ours() -> None:
    flags = [int(flag.strip("`"), 16) for flag, _ in rows("| flags | |")]
    assert flags == [COMPRESSED, 0b1110, ERROR]
    for name, number in TYPES.items():
        assert f"{number} {name}" in rows("| flags | |")[1][1]


@pytest.mark.parametrize("row", rows("| bytes | |"), ids=str)
def test_the_packets_are_among_nanos(row: list[str]) -> None:
    shown, name = row[0].strip("`").replace(" ", ""), row[1]
    (kind,) = [it for it in PacketType if name == it.name.lower().replace("_", "-")]
    known = {it.packet_hex for it in NANO.packet_encode}
    known |= {step.chunk_hex for it in NANO.packet_decode for step in it.steps}
    assert encode_packet(kind).hex() == shown
    assert shown in known


@pytest.mark.parametrize("row", rows("| bytes | message |"), ids=str)
def test_the_messages_are_among_nanos_and_mean_what_is_said(row: list[str]) -> None:
    shown, meaning = row[0].strip("`").replace(" ", ""), row[1]
    assert shown in {it.message_hex for it in NANO.message_encode_uncompressed}
    kind, *words = meaning.split()
    if meaning == "request 300, likewise":
        expected = Message(REQUEST, 300, "Room.Join", b'{"a":1}')
    else:
        number = int(words[0]) if words[0].isdecimal() else 0
        route = "Room.Join" if "`Room.Join`" in meaning else ""
        expected = Message(TYPES[kind], number, route, b'{"a":1}')
    assert encode_message(expected)[HEADER_SIZE:].hex() == shown


def test_the_picture_is_drawn_from_the_table() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "lifecycle.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = re.findall(r">([^<>\n]+)</text>", (DOCS / "lifecycle.svg").read_text())
    assert {state.value for state in State} <= set(words)
    said = sorted(word for text in words for word in text.split(", "))
    inputs = [happened.value for _, happened in TRANSITIONS]
    assert said == sorted([*(it.value for it in State), *inputs])
