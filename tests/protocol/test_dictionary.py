"""Routes as codes."""

from __future__ import annotations

import pytest

from nano.protocol.dictionary import EMPTY, RouteDictionary

from .vectors import NANO_CODES


def test_a_dictionary_leads_both_ways() -> None:
    codes = RouteDictionary(NANO_CODES)
    for route, code in NANO_CODES.items():
        assert codes.code(route) == code
        assert codes.route(code) == route
    assert dict(codes) == NANO_CODES
    assert len(codes) == len(NANO_CODES)


def test_what_is_not_in_it_goes_by_its_name() -> None:
    assert EMPTY.code("Room.Join") is None
    assert EMPTY.route(1) is None
    assert len(EMPTY) == 0


def test_blanks_around_a_route_do_not_count() -> None:
    assert RouteDictionary({" spaced.route\t": 77}).code("spaced.route") == 77


@pytest.mark.parametrize("code", [-1, 65536])
def test_a_code_beyond_two_bytes_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="codes are 0 to 65535"):
        RouteDictionary({"r": code})


def test_two_routes_cannot_share_a_code() -> None:
    with pytest.raises(ValueError, match="'a' and 'b' share code 1"):
        RouteDictionary({"a": 1, "b": 1})
