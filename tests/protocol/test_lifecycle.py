"""The table of states, cell by cell, and the connection that lives by it."""

from __future__ import annotations

from itertools import product

import pytest

from nano.errors import ProtocolError
from nano.protocol.connection import Connection, Event, HandshakeRequested
from nano.protocol.lifecycle import TRANSITIONS, Input, State, next_state
from nano.protocol.messages import Message

from .wire import ACK, HANDSHAKE, HEARTBEAT, HELLO, KICK, connection_in

CELLS = list(product(State, Input))
REFUSED = "-"

# rows: states; columns: handshake accept ack heartbeat data kick close
TABLE = """
greeting   asking  -        -        greeting  -        greeting  closed
asking     -       greeted  -        -         -        -         closed
greeted    asking  -        working  greeted   -        greeted   closed
working    asking  -        working  working   working  working   closed
closed     -       -        -        -         -        -         closed
"""
EXPECTED = {
    (State(row[0]), happened): row[1 + column]
    for row in (line.split() for line in TABLE.strip().splitlines())
    for column, happened in enumerate(Input)
}
NOTIFY_PACKET = bytes.fromhex("040000030201 72".replace(" ", ""))
WIRE = {
    Input.HANDSHAKE: HANDSHAKE,
    Input.ACK: ACK,
    Input.HEARTBEAT: HEARTBEAT,
    Input.DATA: NOTIFY_PACKET,
    Input.KICK: KICK,
}


def test_the_table_has_no_cell_that_nobody_knows() -> None:
    assert set(EXPECTED) == set(CELLS)
    assert set(TRANSITIONS) == {cell for cell in CELLS if EXPECTED[cell] != REFUSED}


@pytest.mark.parametrize(("state", "happened"), CELLS)
def test_each_cell_leads_where_it_should(state: State, happened: Input) -> None:
    expected = EXPECTED[state, happened]
    if expected == REFUSED:
        complaint = f"^{happened.value} while {state.value}$"
        with pytest.raises(ProtocolError, match=complaint):
            next_state(state, happened)
    else:
        assert next_state(state, happened) is State(expected)


def happen(connection: Connection, happened: Input) -> list[Event]:
    if happened is Input.CLOSE:
        connection.close()
        return []
    if happened is Input.ACCEPT:
        try:
            connection.accept(HELLO)
        except ProtocolError as error:
            return [error]
        return []
    return connection.receive(WIRE[happened])


@pytest.mark.parametrize(("state", "happened"), CELLS)
def test_a_connection_does_what_the_table_says(state: State, happened: Input) -> None:
    connection = connection_in(state)
    events = happen(connection, happened)
    expected = EXPECTED[state, happened]
    if happened in WIRE and state is State.ASKING:
        assert events == []  # nothing is read before the decision
        assert connection.state is State.ASKING
    elif happened in WIRE and state is State.CLOSED:
        assert events == []  # nor after the end
    elif expected == REFUSED:
        (error,) = events
        assert isinstance(error, ProtocolError)
        assert str(error) == f"{happened.value} while {state.value}"
        if happened in WIRE:
            assert connection.state is State.CLOSED
        else:
            assert connection.state is state  # our own mistake, not the client's
    else:
        assert connection.state is State(expected)
        kinds = {Input.HANDSHAKE: [HandshakeRequested], Input.DATA: [Message]}
        assert [type(event) for event in events] == kinds.get(happened, [])


@pytest.mark.parametrize("state", State)
def test_a_kick_ends_a_connection_wherever_it_stands(state: State) -> None:
    connection = connection_in(state)
    packet = connection.kick('be "nice"')
    assert packet[:4] == bytes.fromhex("05000018")
    assert packet[4:] == b'{"reason":"be \\"nice\\""}'
    assert connection.state is State.CLOSED
    assert connection.receive(NOTIFY_PACKET) == []
    invitation = connection.kick("full", reconnect=True)
    assert invitation[4:] == b'{"reason":"full","reconnect":true}'
