"""Where a cluster of this machine leaves its traces: one folder for each manifest.

The folder is ``nanocluster/NAME-HASH`` in ``$XDG_STATE_HOME`` (``~/.local/state``), the
hash being that of the manifest's path, so that two clusters never share one.  In it:

``lock``
    locked by the supervisor for as long as it lives: whoever finds it free knows that
    the cluster is down, whatever else lies there.
``state.json``
    the supervisor's pid, its socket, and the manifest.
``cluster.log``
    what all processes have said; ``cluster.log.1`` is the part before.

All of it is its owner's alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from nano.errors import NanoError, UsageError

__all__ = [
    "AlreadyUpError",
    "Place",
    "State",
    "places_in_use",
    "state_folder",
    "who_listens",
]

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
HASH_LENGTH: Final = 8


class AlreadyUpError(NanoError):
    """The cluster of this manifest is up."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What others need to know of a supervisor.

    Attributes:
        pid: Its process.
        name: Of its cluster.
        manifest: The file that describes it.
        socket: Where it can be talked to.
        ports: Where its clients connect.
    """

    pid: int
    name: str
    manifest: str
    socket: str
    ports: tuple[int, ...] = ()


class Place:
    """The folder of one cluster.

    Args:
        folder: Where it is.

    Attributes:
        folder: The same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, manifest: Path, name: str) -> Place:
        """Return the place of the cluster that *manifest* describes."""
        path = os.fsencode(manifest.resolve())
        digest = hashlib.sha256(path).hexdigest()[:HASH_LENGTH]
        return cls(state_folder() / f"{name}-{digest}")

    @property
    def log(self) -> Path:
        """The file with what all processes say."""
        return self.folder / "cluster.log"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the one supervisor of the cluster.

        Raises:
            AlreadyUpError: There is one.
            UsageError: The folder cannot be made, or is somebody else's.
        """
        self._make()
        with self._lock() as free:
            if not free:
                state = self._read()
                pid = f" (pid {state.pid})" if state else ""
                message = (
                    f"the cluster is up already{pid}; `nanoctl status` shows it, "
                    "`nanoctl reload` takes changes up, `nanoctl down` stops it"
                )
                raise AlreadyUpError(message)
            self._state.unlink(missing_ok=True)  # of one that was killed
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)

    def tell(self, state: State) -> None:
        """Let others know."""
        fresh = self.folder / "state.json.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(state))
        fresh.replace(self._state)

    def state(self) -> State | None:
        """Return the state of the supervisor that runs now; ``None``: none does."""
        if not (self.folder / "lock").exists():
            return None
        with self._lock() as free:
            return None if free else self._read()

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _read(self) -> State | None:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return None  # it has not told yet

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            found = self.folder.stat()
            if found.st_uid != os.geteuid():
                text = "it is somebody else's; name another folder by XDG_STATE_HOME"
                raise UsageError(f"{self.folder} cannot be used: {text}")
            self.folder.chmod(FOLDER_MODE)
        except OSError as error:
            text = f"{error.strerror}; name a folder that may be written by "
            message = f"{self.folder} cannot be made: {text}XDG_STATE_HOME"
            raise UsageError(message) from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[bool]:
        """Try to lock; yield whether nobody else has."""
        path = self.folder / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def state_folder() -> Path:
    """Return the folder of all places.

    Raises:
        UsageError: Nothing says where it is.
    """
    given = os.environ.get("XDG_STATE_HOME", "")
    # a relative one is to be ignored, says the XDG base directory specification
    if given.startswith("/"):
        return Path(given, "nanocluster")
    try:
        return Path.home() / ".local" / "state" / "nanocluster"
    except RuntimeError as error:
        text = "you have no home folder; name a folder that is yours by XDG_STATE_HOME"
        raise UsageError(text) from error


def who_listens(port: int) -> State | None:
    """Return the cluster of ours that has *port* for its clients, if one has."""
    return next((it for it in places_in_use().values() if port in it.ports), None)


def places_in_use() -> dict[Path, State]:
    """Return the folders of all clusters that are up, with their states."""
    try:
        folders = sorted(state_folder().iterdir())
    except OSError:
        return {}
    states = {folder: Place(folder).state() for folder in folders}
    return {folder: state for folder, state in states.items() if state is not None}
