"""What nano's browser client writes is understood, and what it gets it can read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.errors import PayloadError, RequestError
from nano.serializers import JsonSerializer
from nano.serializers.utf8 import escape_astral, join_surrogates

JSON: Final = JsonSerializer()
VECTORS: Final = Path(__file__).parents[1] / "vectors" / "nano.json"
WRITES, READS, *_ = msgspec.json.decode(VECTORS.read_bytes())["js_client"]
FACE: Final = "\N{GRINNING FACE}"
PLANES: Final = [chr(plane << 16 | 0x1234) for plane in range(1, 17)]


def cesu8(text: str) -> bytes:
    """Write *text* as nano's browser client does, each UTF-16 unit by itself."""
    units = text.encode("utf-16-le", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return b"".join(
        chr(high << 8 | low).encode("utf-8", "surrogatepass") for low, high in pairs
    )


def read_by_browser(data: bytes) -> str:
    """Read *data* as nano's browser client does: at most three bytes a character.

    A first byte of four it takes for one of three, and its units are 16 bits wide.
    """
    text, index = "", 0
    while index < len(data):
        first = data[index]
        if first < 0x80:
            text, index = text + chr(first), index + 1
        elif first < 0xE0:
            unit = (first & 0x3F) << 6 | data[index + 1] & 0x3F
            text, index = text + chr(unit), index + 2
        else:
            unit = (first & 0x0F) << 12 | (data[index + 1] & 0x3F) << 6
            text, index = text + chr(unit | data[index + 2] & 0x3F), index + 3
    return text


def test_the_tests_write_as_the_browser_client_was_seen_to() -> None:
    assert WRITES["text"] == FACE
    assert cesu8(FACE).hex() == WRITES["strencode_hex"]


# ------------------------------------------------------------------- on the way in


def test_the_recorded_text_is_understood() -> None:
    payload = b'{"text":"%b"}' % bytes.fromhex(WRITES["strencode_hex"])
    assert JSON.decoder(dict[str, str])(payload) == {"text": FACE}


class Said(msgspec.Struct):
    text: str


@pytest.mark.parametrize("wanted", [str, Any, str | None])
@pytest.mark.parametrize("character", PLANES)
def test_a_character_of_any_plane_is_understood(wanted: Any, character: str) -> None:
    text = f"a{character}é{character}{character}"
    assert JSON.decoder(wanted)(b'"%b"' % cesu8(text)) == text


def test_names_are_understood_as_well_as_texts() -> None:
    payload = b'{"%b":[{"text":"%b"}]}' % (cesu8(FACE), cesu8(FACE))
    assert JSON.decoder(dict[str, list[Said]])(payload) == {FACE: [Said(FACE)]}


@given(st.text())
def test_any_text_arrives_as_the_browser_client_meant_it(text: str) -> None:
    payload = cesu8(msgspec.json.encode(text).decode())
    assert JSON.decoder(str)(payload) == text


@pytest.mark.parametrize(
    "text",
    [
        b"\xed\xa0\xbd",  # one half
        b"\xed\xb8\x80",  # the other
        b"\xed\xb8\x80\xed\xa0\xbd",  # both, in the wrong order
        b"\xed\xa0\xbd-\xed\xb8\x80",  # something between
        b"\xed\xa0\xbd\xed\xb8\x80\xed\xa0\xbd",  # a whole one and a half
        b"\xed\xa0\xbd\xed\xb8\x80\xff",
        b"\xc0\x80",  # Java's NUL
        b"\xf4\x90\x80\x80",  # beyond Unicode
        b"\xf0\x9f\x98",
        b"\x80",
    ],
)
@pytest.mark.parametrize("wanted", [str, Any, dict[str, Any]])
def test_what_is_no_text_is_refused(wanted: Any, text: bytes) -> None:
    with pytest.raises(PayloadError, match=r"UTF-8|[Ee]xpected|malformed"):
        JSON.decoder(wanted)(b'"%b"' % text)
    with pytest.raises(PayloadError, match=r"UTF-8|[Ee]xpected|malformed"):
        JSON.decoder(wanted)(b'{"a":"%b"}' % text)


def test_a_repaired_payload_of_another_form_is_refused_for_its_form() -> None:
    with pytest.raises(PayloadError, match="Expected `int`, got `str`"):
        JSON.decoder(list[int])(b'["%b"]' % cesu8(FACE))


def test_bytes_are_not_repaired() -> None:
    assert JSON.decoder(bytes)(cesu8(FACE)) == cesu8(FACE)


@given(st.text())
def test_nothing_in_utf8_is_joined(text: str) -> None:
    assert join_surrogates(text.encode()) == text.encode()


@given(st.binary())
def test_joining_leaves_nothing_to_join(data: bytes) -> None:
    joined = join_surrogates(data)
    assert join_surrogates(joined) == joined


# ------------------------------------------------------------------ on the way out


def test_the_tests_misread_four_bytes_as_the_browser_client_was_seen_to() -> None:
    text = read_by_browser(bytes.fromhex(READS["utf8_hex"]))
    assert text.encode("utf-16-be").hex() == READS["strdecode_result_utf16_hex"]


def test_the_browser_client_can_read_what_it_is_sent() -> None:
    plain = bytes.fromhex(READS["utf8_hex"])
    sent = JSON.encode(msgspec.json.decode(plain))
    assert sent == rb'"\ud83d\ude00"'
    assert msgspec.json.decode(read_by_browser(sent)) == FACE


@pytest.mark.parametrize("character", PLANES)
def test_a_character_of_any_plane_is_escaped(character: str) -> None:
    sent = JSON.encode({character: f"é{character}"})
    assert not re.search(rb"[\xf0-\xff]", sent)
    assert msgspec.json.decode(read_by_browser(sent)) == {character: f"é{character}"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(json_values)
def test_what_is_sent_means_what_msgspec_alone_would_send(value: object) -> None:
    plain = msgspec.json.encode(value)
    sent = JSON.encode(value)
    assert msgspec.json.decode(sent) == msgspec.json.decode(plain) == value
    assert not re.search(rb"[\xf0-\xff]", sent)
    if not re.search(rb"[\xf0-\xff]", plain):
        assert sent == plain


@given(json_values)
def test_what_comes_means_what_msgspec_alone_would_read(value: object) -> None:
    for payload in (msgspec.json.encode(value), JSON.encode(value)):
        assert JSON.decoder(Any)(payload) == msgspec.json.decode(payload) == value


@given(st.binary())
def test_escaping_touches_only_characters_of_four_bytes(data: bytes) -> None:
    escaped = escape_astral(data)
    text = data.decode("utf-8", "surrogateescape")
    assert escaped == "".join(
        "\\u{}\\u{}".format(*re.findall("....", c.encode("utf-16-be").hex()))
        if ord(c) > 0xFFFF
        else c
        for c in text
    ).encode("utf-8", "surrogateescape")


def test_the_browser_client_can_read_an_error_too() -> None:
    body = JSON.encode_error(RequestError(404, f"nobody serves {FACE}"))
    assert rb"\ud83d\ude00" in body
    assert JSON.decode_error(body).message == f"nobody serves {FACE}"


@pytest.mark.parametrize("value", ["\ud83d", {"\ude00": 1}])
def test_half_a_character_is_not_sent(value: object) -> None:
    with pytest.raises(TypeError, match="half a surrogate pair"):
        JSON.encode(value)
