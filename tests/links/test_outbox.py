"""What waits on a link: in order, in batches, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nano.cluster.outbox import (
    BATCH_SIZE,
    CAPACITY,
    LONGEST,
    MOST_ROUTES,
    Outbox,
    Packed,
    numbered,
    packed,
)
from nano.cluster.pb import link_pb2 as pb
from nano.protocol.packets import LARGEST_BODY


def drain(outbox: Outbox) -> list[pb.Batch]:
    batches = []
    while (taken := outbox.take()) is not None:
        batches.append(read(taken))
        outbox.sent(len(taken.data))
    return batches


def read(taken: Packed) -> pb.Batch:
    """Read a batch as the peer does."""
    batch = pb.Batch.FromString(taken.data)
    assert len(batch.envelopes) == taken.envelopes
    return batch


def test_what_one_turn_says_is_one_batch() -> None:
    outbox = Outbox()
    outbox.message(pb.REQUEST, 7, 1, "A.b", b"x")
    outbox.add(pb.Envelope(kind=pb.PING, id=3))
    (batch,) = drain(outbox)
    assert [envelope.kind for envelope in batch.envelopes] == [pb.REQUEST, pb.PING]
    first = batch.envelopes[0]
    assert (first.session, first.id, first.route, first.payload, first.flags) == (
        7,
        1,
        "A.b",
        b"x",
        0,
    )


def test_an_empty_box_has_no_batch() -> None:
    assert Outbox().take() is None


def test_an_envelope_without_content_is_sent_all_the_same() -> None:
    outbox = Outbox()
    outbox.add(pb.Envelope())
    assert len(drain(outbox)[0].envelopes) == 1


def test_batches_are_cut_at_a_mebibyte() -> None:
    outbox = Outbox()
    for number in range(40):
        outbox.message(pb.PUSH, 1, number, "r", bytes(100_000))
    batches = drain(outbox)
    assert len(batches) == 4
    for batch in batches:
        assert batch.ByteSize() < BATCH_SIZE + 100_000
    numbers = [envelope.id for batch in batches for envelope in batch.envelopes]
    assert numbers == list(range(40))


def test_one_large_payload_is_one_batch() -> None:
    outbox = Outbox()
    outbox.message(pb.REQUEST, 1, 1, "r", b"")
    outbox.message(pb.REQUEST, 1, 2, "r", bytes(16 << 20))
    outbox.message(pb.REQUEST, 1, 3, "r", b"")
    assert [len(batch.envelopes) for batch in drain(outbox)] == [2, 1]


def test_the_box_is_full_until_what_was_taken_has_been_sent() -> None:
    outbox = Outbox()
    outbox.message(pb.PUSH, 1, 0, "r", bytes(CAPACITY - 1000))
    assert not outbox.full
    outbox.message(pb.PUSH, 1, 0, "r", bytes(1000))
    assert outbox.full
    taken = outbox.take()
    assert taken is not None
    assert outbox.full  # it is not sent yet
    outbox.sent(len(taken.data))
    assert not outbox.full
    assert 1000 <= outbox.waiting < 1100


def test_the_largest_message_leaves_room_for_the_next_ones() -> None:
    outbox = Outbox()
    outbox.message(pb.REQUEST, 1, 1, "r", bytes(LARGEST_BODY))
    assert not outbox.full
    for number in range(7):
        outbox.message(pb.REQUEST, 1, number, "r", bytes(1 << 20))
        assert not outbox.full
    outbox.message(pb.REQUEST, 1, 8, "r", bytes(1 << 20))
    assert outbox.full


def test_a_closed_box_is_full_and_is_emptied_or_cleared() -> None:
    outbox = Outbox()
    outbox.message(pb.PUSH, 1, 0, "r", bytes(2 << 20))
    outbox.message(pb.PUSH, 1, 0, "r", b"x")
    outbox.close()
    assert outbox.full
    taken = outbox.take()
    assert taken is not None
    outbox.sent(len(taken.data))
    assert outbox.full
    assert outbox.waiting
    outbox.clear()
    assert (outbox.take(), outbox.waiting) == (None, 0)


@given(st.lists(st.one_of(st.integers(0, 600_000), st.none()), max_size=30))
def test_nothing_is_lost_doubled_or_reordered(steps: list[int | None]) -> None:
    outbox = Outbox()
    sent: list[int] = []
    given = 0
    for size in steps:
        if size is None:
            taken = outbox.take()
            if taken is not None:
                outbox.sent(len(taken.data))
                sent.extend(envelope.id for envelope in read(taken).envelopes)
        else:
            outbox.message(pb.PUSH, 1, given, "r", bytes(size))
            given += 1
    for batch in drain(outbox):
        sent.extend(envelope.id for envelope in batch.envelopes)
    assert sent == list(range(given))
    assert outbox.waiting == 0


KINDS = st.sampled_from(pb.Kind.values())
NUMBERS = st.integers(0, (1 << 64) - 1)
EDGES = [0, 1, 127, 128, 16_000, LONGEST - 200, LONGEST, LONGEST + 1, 1 << 17]
SIZES = st.sampled_from(EDGES) | st.integers(LONGEST - 300, LONGEST)
FLAGS = st.integers(0, sum(pb.Flag.values()))


@given(KINDS, NUMBERS, NUMBERS, st.text(max_size=255), SIZES, FLAGS, st.data())
def test_messages_written_by_hand_are_read_as_they_were_meant(
    kind: pb.Kind.ValueType,
    session: int,
    number: int,
    route: str,
    size: int,
    flags: int,
    data: st.DataObject,
) -> None:
    delivery = data.draw(st.sampled_from(pb.Delivery.values()))
    outbox = Outbox()
    for _ in range(2):  # the second time the route is known
        outbox.message(kind, session, number, route, bytes(size), flags, delivery)
    said = pb.Envelope(
        kind=kind,
        session=session,
        id=number,
        route=route,
        payload=bytes(size),
        flags=flags,
        delivery=delivery,
    )
    assert outbox.waiting >= 2 * size
    (batch,) = drain(outbox)
    assert [*batch.envelopes] == [said, said]
    assert outbox.waiting == 0


def test_what_has_one_byte_on_the_wire_needs_no_more() -> None:
    for enumeration in (pb.Kind, pb.Delivery):
        assert max(enumeration.values()) < 0x80
    assert sum(pb.Flag.values()) < 0x80


def test_the_writer_is_woken_once_a_batch() -> None:
    woken: list[int] = []
    outbox = Outbox(wake=lambda: woken.append(outbox.waiting))
    for number in range(3):
        outbox.message(pb.PUSH, 1, number, "r", b"")
    assert woken == [0]
    drain(outbox)
    outbox.add(pb.Envelope(kind=pb.PING))
    outbox.message(pb.PUSH, 1, 3, "r", b"")
    assert woken == [0, 0]


def test_routes_that_a_program_makes_up_do_not_fill_the_memory() -> None:
    outbox = Outbox()
    for number in range(MOST_ROUTES + 10):
        outbox.message(pb.PUSH, 1, number, f"room.{number}", b"")
    (batch,) = drain(outbox)
    assert batch.envelopes[-1].route == f"room.{MOST_ROUTES + 9}"
    assert len(outbox._routes) == MOST_ROUTES


@given(st.integers(0, 2**64 - 1))
def test_the_number_of_a_batch_is_read_as_it_was_written(number: int) -> None:
    envelope = pb.Envelope(kind=pb.PING, id=7)
    batch = pb.Batch.FromString(numbered(packed(envelope).data, number))
    assert batch == pb.Batch(envelopes=[envelope], number=number)
