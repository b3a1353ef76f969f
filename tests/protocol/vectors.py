"""The golden bytes of ``tests/vectors``, as types.

``nano.json`` was made by nano's own code, ``pomelo.json`` by pomelo's libraries and
by nano's chat demo.  Long strings of bytes are given there by a rule, their length
and their SHA-256; here they are whole.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parents[1] / "vectors"


class PacketSample(msgspec.Struct):
    description: str
    type: int
    body_hex: str = ""
    body_len: int = 0
    body_rule: str = ""
    packet_hex: str = ""
    packet_sha256: str = ""
    header_hex: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.description}, type {self.type}"

    @property
    def body(self) -> bytes:
        if self.body_hex or not self.body_len:
            return bytes.fromhex(self.body_hex)
        octet = bytes.fromhex(self.body_rule[2:4])
        return octet * self.body_len

    def is_packet(self, packet: bytes) -> bool:
        """Compare *packet* with whatever is known of the right one."""
        if self.packet_hex:
            return packet == bytes.fromhex(self.packet_hex)
        if self.packet_sha256:
            return hashlib.sha256(packet).hexdigest() == self.packet_sha256
        return packet == bytes.fromhex(self.header_hex) + self.body


class DecodedPacket(msgspec.Struct):
    type: int
    length: int
    body_hex: str = ""
    body_sha256: str = ""

    def is_body(self, body: bytes) -> bool:
        if self.body_sha256:
            return hashlib.sha256(body).hexdigest() == self.body_sha256
        return body == bytes.fromhex(self.body_hex)


class DecodeStep(msgspec.Struct):
    packets: list[DecodedPacket]
    chunk_len: int
    chunk_hex: str = ""
    chunk_first16_hex: str = ""
    chunk_sha256: str = ""
    error: str = ""

    @property
    def chunk(self) -> bytes:
        if not self.chunk_sha256:
            return bytes.fromhex(self.chunk_hex)
        start = bytes.fromhex(self.chunk_first16_hex)
        chunk = start + start[-1:] * (self.chunk_len - len(start))
        assert hashlib.sha256(chunk).hexdigest() == self.chunk_sha256
        return chunk


class DecodeSample(msgspec.Struct):
    description: str
    steps: list[DecodeStep]


class MessageSample(msgspec.Struct):
    description: str
    type: int = -1
    id: str = "0"
    route: str = ""
    data_hex: str = ""
    message_hex: str = ""
    error: str = ""
    panic: str = ""


class Coded(msgspec.Struct):
    route: str
    code: int


class NanoVectors(msgspec.Struct):
    meta: dict[str, Any]
    dictionary: list[Coded]
    packet_encode: list[PacketSample]
    packet_decode: list[DecodeSample]
    message_encode_uncompressed: list[MessageSample]
    message_encode_compressed: list[MessageSample]
    message_decode: list[MessageSample]
    live: dict[str, Any]


class PomeloSample(msgspec.Struct):
    id: str
    group: str
    description: str
    use: str
    input: dict[str, Any]
    result: dict[str, Any]

    @property
    def bytes(self) -> bytes:
        return bytes.fromhex(self.result["hex"])


class PomeloVectors(msgspec.Struct):
    vectors: list[PomeloSample]


def _load() -> tuple[NanoVectors, list[PomeloSample]]:
    nano = msgspec.json.decode((FOLDER / "nano.json").read_bytes(), type=NanoVectors)
    text = (FOLDER / "pomelo.json").read_bytes()
    return nano, msgspec.json.decode(text, type=PomeloVectors).vectors


NANO, POMELO = _load()
NANO_CODES = {item.route: item.code for item in NANO.dictionary}


def group(name: str) -> list[PomeloSample]:
    """Return the samples of one group of ``pomelo.json``."""
    return [sample for sample in POMELO if sample.group == name]
