"""No golden vector is left out, and no exception outlives its reason."""

from __future__ import annotations

from collections import Counter

import msgspec

from . import test_messages, test_packets, test_pomelo
from .vectors import NANO, POMELO

# what there is; the tests of each group take all of it
COUNTS = {
    "packet_encode": 32,
    "packet_decode": 12,
    "message_encode_uncompressed": 70,
    "message_encode_compressed": 78,
    "message_decode": 19,
}
POMELO_COUNTS = {
    "pomelo-package": 5,
    "pomelo-package-decode": 5,
    "pomelo-message": 22,
    "pomelo-message-decode": 7,
    "pomelo-dictionary": 1,
    "pomelo-handshake": 9,
    "pomelo-coder": 5,
    "pomelo-session": 1,
    "starx-chat-demo": 18,
}


def test_every_group_of_nanos_vectors_is_as_large_as_it_was() -> None:
    groups = msgspec.structs.asdict(NANO)
    for name in ("meta", "live", "dictionary"):  # live: tests/transports
        del groups[name]
    assert {name: len(samples) for name, samples in groups.items()} == COUNTS


def test_every_group_of_pomelos_vectors_is_as_large_as_it_was() -> None:
    assert Counter(sample.group for sample in POMELO) == POMELO_COUNTS


def test_every_group_of_pomelos_vectors_has_a_test() -> None:
    assert {sample.group for sample in POMELO} == set(test_pomelo.GROUPS)


def test_every_exception_names_a_vector() -> None:
    nano = {
        sample.description
        for samples in (
            NANO.packet_encode,
            NANO.packet_decode,
            NANO.message_encode_uncompressed,
            NANO.message_encode_compressed,
            NANO.message_decode,
        )
        for sample in samples
    }
    named = {*test_packets.EXCEPTIONS, *test_messages.EXCEPTIONS}
    assert named <= nano
    assert set(test_pomelo.EXCEPTIONS) <= {sample.id for sample in POMELO}


def test_every_defect_that_was_recorded_is_an_exception() -> None:
    defects = {sample.id for sample in POMELO if sample.use == "defect"}
    assert defects <= set(test_pomelo.EXCEPTIONS)
    described = [sample.description for sample in NANO.packet_decode]
    described += [sample.description for sample in NANO.message_decode]
    recorded = {text for text in described if text.startswith("DEFECT")}
    assert recorded <= {*test_packets.EXCEPTIONS, *test_messages.EXCEPTIONS}
