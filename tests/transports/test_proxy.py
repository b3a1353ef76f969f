"""The PROXY protocol's headers, whole, in pieces and wrong."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.transports.proxy import (
    LONGEST,
    LONGEST_LINE,
    MOST_BYTES,
    SIGNATURE,
    ProxyError,
    ProxyHeader,
    read_header,
)

ports = st.integers(0, 65535)
families = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)


def binary(command: int, shape: int, body: bytes, version: int = 2) -> bytes:
    head = bytes((version << 4 | command, shape))
    return SIGNATURE + head + struct.pack(">H", len(body)) + body


def plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@st.composite
def good_headers(draw: st.DrawFn) -> tuple[bytes, ProxyHeader]:
    """Return a header of either version, and what it says."""
    source, target = draw(families)
    port, other = draw(ports), draw(ports)
    if draw(st.booleans()):
        line = f"PROXY TCP{source.version} {source} {target} {port} {other}\r\n"
        data = line.encode()
    else:
        extensions = draw(st.binary(max_size=100))
        body = source.packed + target.packed + struct.pack(">HH", port, other)
        shape = 0x11 if source.version == 4 else 0x21
        data = binary(1, shape, body + extensions)
    return data, ProxyHeader(plain(source), port, len(data))


@given(good_headers(), st.binary(max_size=50), st.data())
def test_a_header_is_read_wherever_it_is_split(
    given_header: tuple[bytes, ProxyHeader], rest: bytes, data: st.DataObject
) -> None:
    header, expected = given_header
    assert read_header(header + rest) == expected
    cut = data.draw(st.integers(0, len(header) - 1))
    assert read_header(header[:cut]) is None


@given(good_headers())
def test_a_header_is_read_byte_by_byte(
    given_header: tuple[bytes, ProxyHeader],
) -> None:
    header, expected = given_header
    answers = [read_header(header[:end]) for end in range(len(header) + 1)]
    assert answers == [None] * len(header) + [expected]


@given(st.binary(max_size=300), st.integers(0, 20))
def test_garbage_is_refused_or_waited_for_and_nothing_else(
    garbage: bytes, kept: int
) -> None:
    for data in (garbage, SIGNATURE[:kept] + garbage, b"PROXY TCP4 "[:kept] + garbage):
        try:
            header = read_header(data)
        except ProxyError:
            continue
        assert header is None or header.size <= len(data)


@given(st.binary(min_size=1, max_size=20), st.booleans())
def test_nothing_is_waited_for_for_ever(garbage: bytes, as_line: bool) -> None:
    begin = b"PROXY " if as_line else SIGNATURE
    with contextlib.suppress(ProxyError):
        assert read_header((begin + garbage * LONGEST)[:LONGEST]) is not None


def test_the_longest_line_is_read_and_no_longer_one() -> None:
    longest = b"PROXY UNKNOWN " + b"f" * (LONGEST_LINE - 16) + b"\r\n"
    assert len(longest) == LONGEST_LINE
    assert read_header(longest) == ProxyHeader(None, 0, LONGEST_LINE)
    assert read_header(longest[:-1]) is None
    with pytest.raises(ProxyError, match="more than 107 bytes"):
        read_header(longest[:-2] + b"f\r\n")


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 1.2.3.4 whatever\r\n",
        binary(0, 0x11, b"\1\2\3\4" * 2 + b"\0" * 4),
        binary(0, 0x00, b""),
        binary(0, 0xFF, b"anything"),
        binary(1, 0x00, b"an extension"),
        binary(1, 0x31, b"/run/a.sock".ljust(108, b"\0") * 2),
        binary(0, 0x00, b"x" * MOST_BYTES),
    ],
)
def test_a_proxy_may_speak_for_itself_or_not_know(header: bytes) -> None:
    assert read_header(header) == ProxyHeader(None, 0, len(header))


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXYTCP4",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        binary(1, 0x11, b"\0" * 11),
        binary(1, 0x21, b"\0" * 35),
        binary(1, 0x31, b"\0" * 215),
        binary(1, 0x12, b"\0" * 12),
        binary(1, 0x41, b"\0" * 200),
        binary(2, 0x11, b"\0" * 12),
        binary(1, 0x11, b"\0" * 12, version=1),
        binary(1, 0x11, b"\0" * (MOST_BYTES + 1)),
    ],
)
def test_what_is_not_exactly_right_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyError):
        read_header(header)


def test_an_address_of_ipv4_in_ipv6s_clothes_is_one_of_ipv4() -> None:
    found = read_header(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 80 81\r\n")
    assert found is not None
    assert (found.source, found.port) == (ip_address("192.0.2.1"), 80)
