"""A match: who plays, what was played, and what may be done next.

Pure.  A match is a value; what a player does makes the next one of it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from nano import RequestError

from .board import COLUMNS, Place, four, is_full, place

__all__ = ["Deed", "Match", "View", "step", "view"]

LONGEST_NAME: Final = 24
SEATS: Final = 2

Room = Annotated[str, Meta(pattern=r"^[0-9]{6}$")]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Column = Annotated[int, Meta(ge=0, lt=COLUMNS)]


class Deed(Struct, frozen=True):
    """What a player does.

    Attributes:
        what: ``create`` a match, ``join`` one or come back to it, ``play`` a piece, or
            play ``again``.
        room: The number of the match.
        uid: The player.
        name: What the player is called; for the first two.
        column: For ``play``.
        ply: How many pieces the player sees, for ``play``: what is sent twice is done
            once.
        round: Which round the player sees, for ``again``.
    """

    what: Literal["create", "join", "play", "again"]
    room: str
    uid: str
    name: str = ""
    column: int = 0
    ply: int = 0
    round: int = 0


class Match(Struct, frozen=True):
    """A match, as the backends keep it.

    Attributes:
        room: Its number.
        version: One more with each change.
        stamp: At random; of two changes made at once the larger is the one.
        uids: The players, who are nobody's business but theirs.
        names: What they are called.
        moves: The columns that were played in this round.
        round: From 1; who sits first begins the odd ones.
        wins: How many rounds each has won.
    """

    room: str
    version: int = 0
    stamp: int = 0
    uids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    moves: tuple[int, ...] = ()
    round: int = 1
    wins: tuple[int, int] = (0, 0)


class View(Struct, frozen=True):
    """A match as players see it, whole each time: who missed one has missed nothing.

    Attributes:
        room: As of :class:`Match`, like the next three.
        names: The players, by seat.
        moves: The columns.
        round: The round.
        wins: By seat.
        version: The larger, the newer.
        first: The seat that has begun this round.
        turn: The seat that is to play; None: nobody's.
        winner: The seat that has won this round, if any.
        row: Where its four are.
    """

    room: str
    names: tuple[str, ...]
    moves: tuple[int, ...]
    round: int
    wins: tuple[int, int]
    version: int
    first: int
    turn: int | None
    winner: int | None
    row: list[Place]


def view(match: Match) -> View:
    """Return what players see of *match*."""
    row = four(match.moves)
    first = (match.round - 1) % SEATS
    playing = (first + len(match.moves)) % SEATS
    over = bool(row) or is_full(match.moves)
    return View(
        room=match.room,
        names=match.names,
        moves=match.moves,
        round=match.round,
        wins=match.wins,
        version=match.version,
        first=first,
        turn=None if over or len(match.uids) < SEATS else playing,
        winner=1 - playing if row else None,
        row=row,
    )


def step(match: Match | None, deed: Deed) -> Match:
    """Return the match after *deed*; the same if it was done before.

    Raises:
        RequestError: It cannot be done; the text says why.
    """
    if deed.what == "create":
        return _create(match, deed)
    if match is None:
        raise RequestError(404, f"room: there is no match {deed.room}; create one")
    if deed.what == "join":
        return _join(match, deed)
    if deed.uid not in match.uids:
        raise RequestError(403, "you do not play here: join the match first")
    seat = match.uids.index(deed.uid)
    return (_play if deed.what == "play" else _again)(match, deed, seat)


def _create(match: Match | None, deed: Deed) -> Match:
    if match is not None:
        if match.uids[0] == deed.uid:
            return match
        raise RequestError(409, "room: this one is taken; ask again for another")
    return Match(deed.room, uids=(deed.uid,), names=(deed.name,), version=1)


def _join(match: Match, deed: Deed) -> Match:
    if deed.uid in match.uids:
        return match
    if len(match.uids) == SEATS:
        raise RequestError(409, "room: two play here already; create a match yourself")
    uids, names = (*match.uids, deed.uid), (*match.names, deed.name)
    return _changed(match, uids=uids, names=names)


def _play(match: Match, deed: Deed, seat: int) -> Match:
    seen = view(match)
    done = len(match.moves)
    mine = (seen.first + done - 1) % SEATS == seat
    if done and mine and (deed.ply, deed.column) == (done - 1, match.moves[-1]):
        return match  # the answer was lost, and the client has asked again
    if seen.turn is None:
        raise RequestError(409, "nobody is to play now")
    if seen.turn != seat:
        raise RequestError(409, f"it is {match.names[seen.turn]}'s turn")
    if deed.ply != done:
        raise RequestError(409, f"ply: {done} pieces were played; look again")
    if place(match.moves, deed.column) is None:
        raise RequestError(409, "column: it is full; choose another")
    moves = (*match.moves, deed.column)
    wins = list(match.wins)
    wins[seat] += bool(four(moves))
    return _changed(match, moves=moves, wins=(wins[0], wins[1]))


def _again(match: Match, deed: Deed, _: int) -> Match:
    if deed.round == match.round - 1:
        return match  # the other was quicker
    seen = view(match)
    if seen.turn is not None or len(match.uids) < SEATS:
        raise RequestError(409, "this round is not over")
    return _changed(match, moves=(), round=match.round + 1)


def _changed(match: Match, **changes: object) -> Match:
    return replace(match, version=match.version + 1, **changes)
