from __future__ import annotations

import os
from pathlib import Path

import pytest

from nano.errors import UsageError
from nano.local.places import AlreadyUpError, Place, State, places_in_use, state_folder
from nano.local.record import Reader, Record


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "nanocluster"


def state(manifest: Path) -> State:
    return State(pid=os.getpid(), name="a", manifest=str(manifest), socket="s")


def test_a_cluster_is_up_for_as_long_as_its_place_is_held(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "cluster.yaml", "a")
    assert place.state() is None
    with place.hold():
        assert place.state() is None  # it has not told yet
        told = state(tmp_path / "cluster.yaml")
        place.tell(told)
        assert place.state() == told
        assert places_in_use() == {place.folder: told}
    assert place.state() is None
    assert places_in_use() == {}


def test_two_cannot_hold_one_place(tmp_path: Path) -> None:
    manifest = tmp_path / "cluster.yaml"
    with Place.of(manifest, "a").hold():
        Place.of(manifest, "a").tell(state(manifest))
        said = rf"up already \(pid {os.getpid()}\); `nanoctl status` shows it"
        with pytest.raises(AlreadyUpError, match=said), Place.of(manifest, "a").hold():
            pass
        with Place.of(tmp_path / "other.yaml", "a").hold():  # side by side
            pass


def test_what_a_supervisor_that_was_killed_left_is_nobodys(tmp_path: Path) -> None:
    place = Place.of(tmp_path / "cluster.yaml", "a")
    with place.hold():
        pass
    place.tell(state(tmp_path / "cluster.yaml"))  # and nobody holds the lock
    assert place.state() is None
    with place.hold():
        assert place.state() is None  # not taken for the new one's


def test_only_its_owner_may_look_into_a_place(tmp_path: Path, home: Path) -> None:
    before = os.umask(0)
    try:
        place = Place.of(tmp_path / "cluster.yaml", "a")
        with place.hold():
            place.tell(state(tmp_path))
            Record(place.log).close()
            assert place.folder.stat().st_mode & 0o777 == 0o700
            modes = {
                it.name: it.stat().st_mode & 0o777 for it in place.folder.iterdir()
            }
        assert modes == dict.fromkeys(("lock", "state.json", "cluster.log"), 0o600)
        assert place.folder.parent == home
    finally:
        os.umask(before)


def test_a_place_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    place = Place.of(tmp_path / "cluster.yaml", "a")
    said = "cannot be made: Not a directory; name"
    with pytest.raises(UsageError, match=said), place.hold():
        pass


def test_a_relative_state_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/me")
    assert state_folder() == Path("/home/me/.local/state/nanocluster")


# ---------------------------------------------------------------------- record


def test_the_last_lines_are_read_and_then_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "cluster.log"
    record = Record(path)
    for number in range(5):
        record.line(f"gate-{number % 2}", f"line {number}")
    reader = Reader(path)
    assert reader.last(2) == [("gate-1", "line 3"), ("gate-0", "line 4")]
    assert reader.new() == []
    record.line("gate-1", "a\ttab")
    assert reader.new() == [("gate-1", "a\ttab")]
    assert reader.new() == []
    only = Reader(path, ["gate-1"])
    assert [text for _, text in only.last(99)] == ["line 1", "line 3", "a\ttab"]
    record.close()


def test_a_record_begins_anew_and_keeps_the_part_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nano.local.record.LARGEST", 100)
    path = tmp_path / "cluster.log"
    record, reader = Record(path), Reader(path)
    seen = reader.last(99)
    for number in range(40):
        record.line("a", f"line {number}")
        if number % 3 == 0:
            seen += reader.new()
        assert path.stat().st_size <= 100
    seen += reader.new()
    assert [text for _, text in seen] == [f"line {number}" for number in range(40)]
    assert sorted(it.name for it in tmp_path.iterdir()) == [
        "cluster.log",
        "cluster.log.1",
    ]
    kept = Reader(path).last(99)
    assert kept[-1] == ("a", "line 39")
    assert len(kept) > 5
    record.close()


def test_a_new_run_begins_a_new_record(tmp_path: Path) -> None:
    path = tmp_path / "cluster.log"
    for run in ("first", "second", "third"):
        record = Record(path)
        record.line("a", run)
        record.close()
    assert [text for _, text in Reader(path).last(9)] == ["second", "third"]


def test_a_line_that_is_not_whole_yet_is_read_later(tmp_path: Path) -> None:
    path = tmp_path / "cluster.log"
    path.write_bytes(b"a\tone\na\ttw")
    reader = Reader(path)
    assert reader.last(9) == [("a", "one")]
    with path.open("ab") as file:
        file.write(b"o\n")
    assert reader.new() == [("a", "two")]
