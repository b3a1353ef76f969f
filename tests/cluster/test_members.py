"""What a member says survives the wire, whoever wrote it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nano.cluster.members import (
    Member,
    MemberState,
    from_info,
    from_list,
    new_incarnation,
    to_info,
)
from nano.cluster.pb import cluster_pb2 as pb

TEXTS = st.lists(st.text(), max_size=3).map(tuple)
MEMBERS = st.builds(
    Member,
    address=st.text(),
    label=st.text(),
    services=TEXTS,
    role=st.text(),
    kind=st.text(),
    incarnation=st.integers(0, 2**64 - 1),
    state=st.sampled_from(MemberState),
    link=st.booleans(),
    revision=st.text(),
    version=st.text(),
    client_addresses=TEXTS,
    heartbeat=st.integers(0, 2**32 - 1).map(lambda millis: millis / 1000),
    app_version=st.text(),
)


@given(MEMBERS)
def test_a_member_is_read_as_it_was_written(member: Member) -> None:
    wire = to_info(member).SerializeToString()
    assert from_info(pb.MemberInfo.FromString(wire)) == member


def test_a_go_node_is_passed_on_as_it_came() -> None:
    info = pb.MemberInfo(label="chat", serviceAddr="10.0.0.1:80", services=["A", "B"])
    assert to_info(from_info(info)).SerializeToString() == info.SerializeToString()


def test_the_state_of_a_newer_version_is_taken_for_active() -> None:
    info = pb.MemberInfo.FromString(b"\xa8\x06\x07")  # field 101: 7
    assert from_info(info).state is MemberState.ACTIVE


def test_the_first_of_a_go_masters_list_is_the_master() -> None:
    infos = [pb.MemberInfo(serviceAddr="m"), pb.MemberInfo(serviceAddr="a")]
    assert [it.is_master for it in from_list(infos)] == [True, False]


def test_a_master_that_says_so_need_not_be_the_first() -> None:
    infos = [pb.MemberInfo(serviceAddr="a"), pb.MemberInfo(role="master")]
    assert [it.is_master for it in from_list(infos)] == [False, True]


def test_an_empty_list_has_no_master() -> None:
    assert from_list([]) == ()


def test_incarnations_differ_and_fit_the_wire() -> None:
    numbers = {new_incarnation() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(0 < number < 2**64 for number in numbers)
