"""The greeting, in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.protocol.dictionary import RouteDictionary
from nano.protocol.handshake import (
    ClientHello,
    ServerHello,
    read_hello,
    write_hello,
    write_refusal,
)
from nano.protocol.packets import PacketType, encode_packet

from .vectors import NANO

LIVE = NANO.live
ROOM = RouteDictionary({"onPoke": 300, "Room.Poke": 2, "Room.Hello": 1})


def answer_in(name: str) -> bytes:
    """Return the first packet that the live server sent."""
    transcript: list[dict[str, Any]] = LIVE[name]["transcript"]
    answers = (it for it in transcript if it["dir"] == "server->client")
    return bytes.fromhex(next(answers)["bytes_hex"])


@pytest.mark.parametrize(
    ("name", "hello"),
    [
        ("handshake_hs30", ServerHello(30.0, 1795231205)),
        ("handshake_hs025", ServerHello(0.25, 1795231205)),
        ("tcp_json", ServerHello(1, 1795231205)),
        ("tcp_json_dict", ServerHello(1.5, 1795231218, ROOM)),
    ],
)
def test_the_answer_is_nanos_byte_for_byte(name: str, hello: ServerHello) -> None:
    assert encode_packet(PacketType.HANDSHAKE, write_hello(hello)) == answer_in(name)


def test_a_refusal_says_its_code_whatever_its_body_says() -> None:
    body = {"msg": "no ticket", "code": 200}
    assert write_refusal(403, body) == b'{"msg":"no ticket","code":403}'


def test_an_answer_tells_what_the_application_says() -> None:
    answer = write_hello(ServerHello(30, 7, user={"room": 5}))
    assert answer.endswith(b'"servertime":7},"user":{"room":5}}')


def test_an_answer_tells_how_to_come_back_beside_what_nano_says() -> None:
    answer = write_hello(ServerHello(30, 7, resume="token", epoch=2))
    sys = b'"sys":{"epoch":2,"heartbeat":30,"resume":"token","servertime":7}'
    assert answer == b'{"code":200,' + sys + b"}"


@pytest.mark.parametrize(
    ("body", "hello"),
    [
        (
            b'{"sys":{"type":"js-websocket","version":"0.0.1","rsa":{}}}',
            ClientHello("js-websocket", "0.0.1"),
        ),
        (
            b'{"sys":{"errors":true},"user":{"a":[1]}}',
            ClientHello("", "", True, {"a": [1]}),
        ),
        (b'{"user":"ann"}', ClientHello(user="ann")),
        (b'{"sys":{"resume":""}}', ClientHello(resume="")),
        (b'{"sys":{"resume":"token"}}', ClientHello(resume="token")),
        (b'{"sys":{"resume":7}}', ClientHello()),
        (b"{}", ClientHello()),
        (b"", ClientHello()),
        (b"\xff\x00", ClientHello()),
        (b'{"sys":{"type":"\xff"}}', ClientHello()),
        (b'{"sys":7}', ClientHello()),
        (b'{"user":' + b"[" * 30_000, ClientHello()),
        (b'{"user":' + b"[" * 30_000 + b"]" * 30_000 + b"}", ClientHello()),
    ],
)
def test_a_hello_is_read_and_an_unreadable_one_says_nothing(
    body: bytes, hello: ClientHello
) -> None:
    assert read_hello(body) == hello


@given(st.binary(max_size=100))
def test_no_hello_is_an_error(body: bytes) -> None:
    assert isinstance(read_hello(body), ClientHello)
