"""Whose an address is, and whom to believe."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.transports.addresses import (
    MOST_HOPS,
    Proxies,
    counted_as,
    read_address,
    written,
)

OURS = Proxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("192.0.2.1:80", None),
        ("192.0.2.01", None),
        ("unknown", None),
        ("host.example", None),
    ],
)
def test_an_address_is_read_in_its_plain_form(text: str, says: str | None) -> None:
    found = read_address(text)
    assert (str(found) if found else None) == says


@given(st.ip_addresses())
def test_every_address_is_read_and_counted_as_somebody(found: object) -> None:
    address = read_address(str(found))
    assert address is not None
    assert counted_as(address)
    assert read_address(written(address).strip("[]")) == address


def test_a_whole_network_of_one_ipv6_customer_counts_as_one() -> None:
    names = {counted_as(ip_address(f"2001:db8:1:2:{n:x}::1")) for n in range(9)}
    assert names == {"2001:db8:1:2::/64"}
    assert counted_as(ip_address("2001:db8:1:3::1")) == "2001:db8:1:3::/64"
    assert counted_as(ip_address("192.0.2.1")) == "192.0.2.1"


def test_an_address_is_written_for_people() -> None:
    assert written(ip_address("192.0.2.1"), 80) == "192.0.2.1:80"
    assert written(ip_address("::1"), 80) == "[::1]:80"
    assert written(ip_address("::1")) == "[::1]"


def test_proxies_are_known_by_address_and_by_range() -> None:
    for text in ("10.1.2.3", "192.0.2.7", "fd00::1"):
        assert ip_address(text) in OURS
    for text in ("11.1.2.3", "192.0.2.8", "fe00::1", "::a01:203"):
        assert ip_address(text) not in OURS
    assert not Proxies()
    with pytest.raises(ValueError, match="host bits"):
        Proxies(["10.0.0.1/8"])


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        # nobody says anything
        ([], None),
        ([""], None),
        # one proxy, and a client that writes the header itself
        (["203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["10.0.0.9, 203.0.113.9"], "203.0.113.9"),
        (["garbage, 203.0.113.9"], "203.0.113.9"),
        # two proxies of ours
        (["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["198.51.100.1,203.0.113.9,10.0.0.2, fd00::2"], "203.0.113.9"),
        # the same in several headers
        (["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (["203.0.113.9", "10.0.0.2", "fd00::3"], "203.0.113.9"),
        # all are ours: somebody within
        (["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        # forms that some write
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["[2001:db8::9]:4711, 10.0.0.2"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        # what cannot be understood is not skipped: left of it, anybody may have written
        (["203.0.113.9, unknown"], None),
        (["203.0.113.9, garbage, 10.0.0.2"], None),
        (["203.0.113.9,"], None),
        (["[2001:db8::9"], None),
        (["[2001:db8::9]x"], None),
        (["_hidden"], None),
    ],
)
def test_the_client_is_the_right_most_that_is_no_proxy_of_ours(
    headers: list[str], client: str | None
) -> None:
    found = OURS.client(headers)
    assert (str(found) if found else None) == client


def test_a_chain_without_end_is_not_followed() -> None:
    chain = ["203.0.113.9", *["10.0.0.1"] * MOST_HOPS]
    assert str(OURS.client([", ".join(chain)])) == "10.0.0.1"


@given(st.lists(st.text(max_size=30), max_size=5))
def test_nothing_in_a_header_is_an_error(headers: list[str]) -> None:
    OURS.client(headers)


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text(max_size=9))))
def test_what_a_client_writes_never_hides_what_our_proxy_saw(
    spoofed: list[str],
) -> None:
    header = ", ".join([*spoofed, "203.0.113.9"])
    assert str(OURS.client([header])) == "203.0.113.9"
