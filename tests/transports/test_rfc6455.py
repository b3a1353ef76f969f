"""The Autobahn suite's cases, read by our frame reader and by the websockets library.

What the table expects is what the suite expects.  The library is asked for its opinion
too: it has one on everything but UTF-8, which it checks in a layer above.
"""

from __future__ import annotations

from collections import Counter

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from nano.transports.frames import FrameReader

from .rfc6455 import ALL, INFORMATIONAL, LIMIT, NON_STRICT, TOO_LARGE, FrameCase

NO_CODE = 1005  # of a close frame without one; it is answered by 1000
DATA = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)


def test_the_table_has_the_cases_of_the_suite() -> None:
    groups = Counter(number.rpartition(".")[0] for number in ALL)
    utf8 = {f"6.{it}": groups.pop(f"6.{it}") for it in range(5, 24)}
    assert list(utf8.values()) == [
        *(5, 11, 4, 2, 4, 3, 5, 8, 5, 10, 1, 3, 5, 5, 5, 7, 8, 34, 7)
    ]
    assert groups == {
        **{"1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20},
        **{"6.1": 3, "6.2": 4, "6.3": 2, "6.4": 4},
        **{"7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13, "7.9": 9, "7.13": 2},
        **{"9.1": 6, "9.2": 6, "9.3": 9, "9.4": 9, "9.5": 6, "9.6": 6, "10.1": 1},
    }
    assert {*NON_STRICT, *INFORMATIONAL, *TOO_LARGE} <= set(ALL)


def read(case: FrameCase) -> tuple[bytes, tuple[bytes, ...], int | None]:
    """Return data, pings, and the code of the close frame that we would send."""
    reader = FrameReader(LIMIT)
    data = bytearray()
    pings: list[bytes] = []
    for chunk in case.chunks():
        frames = reader.receive(chunk)
        data += frames.data
        pings += frames.pings
        if frames.error is not None:
            return bytes(data), tuple(pings), frames.error.code
        if frames.close is not None:
            code = 1000 if frames.close == NO_CODE else frames.close
            return bytes(data), tuple(pings), code
    return bytes(data), tuple(pings), None


@pytest.mark.parametrize("case", ALL.values(), ids=str)
def test_the_reader_does_as_the_suite_expects(case: FrameCase) -> None:
    data, pings, close = read(case)
    assert close == case.close
    assert pings == case.pongs
    if case.echo is not None:
        assert data == case.echo


def by_library(case: FrameCase) -> tuple[bytes, tuple[bytes, ...], int]:
    """Return data, pings and close code as the websockets library sees them."""
    server = ServerProtocol(state=State.OPEN, max_size=LIMIT)
    server.receive_data(b"".join(case.frames))
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    data = b"".join(bytes(it.data) for it in frames if it.opcode in DATA)
    pings = tuple(bytes(it.data) for it in frames if it.opcode is Opcode.PING)
    ended = server.close_rcvd or server.close_sent
    assert ended is not None
    code = int(ended.code)
    return data, pings, 1000 if code == NO_CODE else code


# in the table they are bad for their text alone
TEXTS = {number for number, case in ALL.items() if case.close == 1007}


@pytest.mark.parametrize("number", [*sorted({*ALL} - TEXTS), "7.5.1"])
def test_the_library_is_of_the_suites_opinion(number: str) -> None:
    case = ALL[number]
    assert by_library(case) == read(case)


@pytest.mark.parametrize("number", NON_STRICT)
def test_bad_text_within_a_frame_is_noticed_at_its_end(number: str) -> None:
    begun, broken, rest = ALL[number].frames
    reader = FrameReader(LIMIT)
    for part in (begun, broken):
        assert reader.receive(part).error is None
    error = reader.receive(rest).error
    assert error is not None
    assert error.code == 1007
