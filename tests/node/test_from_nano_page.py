"""What docs/from-nano.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nano.client
import nano.errors
import nano.node
import nano.testing
import nano.version
from nano import Component, Group, NodeInfo, Router, Session, Timer

PAGE = (Path(__file__).parents[2] / "docs" / "from-nano.md").read_text()
OURS = {
    "session.router": Router,
    "session": Session,
    "group": Group,
    "node": NodeInfo,
    "timer": Timer,
    "nano.errors": nano.errors,
    "nano": nano,
}
NAMES = sorted(
    {
        (owner, name)
        for row in PAGE.splitlines()
        if row.startswith("|")
        for cell in [row.split("|")[2]]
        for owner, name in re.findall(
            r"\b(session\.router|session|group|node|timer|nano\.errors|nano)\.(\w+)",
            cell,
        )
        if (owner, name) != ("nano", "errors")
    }
)
HOOKS = re.findall(
    r"`(start|started|stopping|stop|session_opened|session_closed|name_func|handshake)`",
    PAGE,
)


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_name_on_the_page_exists(owner: str, name: str) -> None:
    found = hasattr(OURS[owner], name)
    assert (
        found
        or name in getattr(OURS[owner], "__annotations__", {})
        or name in (getattr(OURS[owner], "__slots__", ()))
    )


def test_the_page_names_all_of_them() -> None:
    assert len(NAMES) >= 35
    assert len(set(HOOKS)) == 8
    assert all(hasattr(Component, name) for name in HOOKS)


# what Go nano v0.5.1 exports for its users
_NAMES = """
Listen Shutdown VERSION Option WithPipeline WithCustomerRemoteServiceRoute
WithAdvertiseAddr WithClientAddr WithMaster WithGrpcOptions WithComponents
WithHeartbeatInterval WithCheckOriginFunc WithDebugMode WithDictionary WithWSPath
WithTimerPrecision WithSerializer WithLabel WithIsWebsocket WithTSLConfig WithLogger
WithHandshakeValidator WithNodeId WithUnregisterCallback NewGroup Add Leave LeaveAll
Member FindMember Members Contains Count Broadcast Multicast Close SessionFilter
ErrCloseClosedGroup ErrClosedGroup ErrMemberNotFound ErrSessionDuplication
New ID UID Bind Push Response ResponseMID LastMid RPC RemoteAddr Router NetworkEntity
Set Value Remove HasKey Int String Float64 State Restore Clear Find Delete OnClosed
LifetimeHandler ErrIllegalUID
Init AfterInit BeforeShutdown Base Register CompWithOptions WithName WithNameFunc
WithSchedulerName NewService Service ExtractHandler Handler
Sched PushTask Task Hook LocalScheduler NewTimer NewCountTimer NewAfterTimer
NewCondTimer Stop
Inbound Outbound PushFront PushBack Process Message Serializer Marshaler Unmarshaler
Connection Connections Increment Decrement Reset SessionID ResetNodeId Options Node
Startup LocalService RemoteService MemberInfo CustomerRemoteServiceRoute
ErrSessionOnNotify ErrCloseClosedSession ErrInvalidRegisterReq ErrBrokenPipe
ErrBufferExceed NetAddr Connector
"""
EXPORTED = _NAMES.split()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| nano |")
]
TESTS = Path(__file__).parents[1]


def test_every_exported_name_of_nano_has_a_row() -> None:
    theirs = {word for row in ROWS for word in re.findall(r"\w+", row[0])}
    assert [name for name in EXPORTED if name not in theirs] == []
    assert len(set(EXPORTED)) == len(EXPORTED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_row_names_a_test_that_there_is(row: list[str]) -> None:
    assert len(row) == 3
    file, _, name = row[2].strip("`| ").partition("::")
    source = (TESTS / file).read_text()
    assert re.search(rf"^ *(?:async )?def {re.escape(name)}\(", source, re.M), row[2]
