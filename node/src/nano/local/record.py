"""What all processes of a cluster have said, in one file, for ``nanoctl logs``.

A line is the name of its process, a tab, and what it said, so that the order among
processes is kept.  The file begins anew when it is full; the part before stays beside
it, and nothing older does.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

__all__ = ["Reader", "Record"]

LARGEST: Final = 8 * 1024 * 1024  # bytes of one part
FILE_MODE: Final = 0o600

Line = tuple[str, str]
"""The name of a process, and what it has said."""


class Record:
    """Writes the file.

    Args:
        path: Of the file; what is there becomes the part before.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn()

    def line(self, name: str, text: str) -> None:
        """Write one line of the process *name*."""
        line = f"{name}\t{text}\n".encode("utf-8", "replace")
        if self._size + len(line) > LARGEST:
            os.close(self._descriptor)
            self._turn()
        self._size += len(line)
        try:
            os.write(self._descriptor, line)
        except OSError:
            return  # the disk is full; the processes matter more

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)

    def _turn(self) -> None:
        if self._path.exists():
            self._path.replace(_before(self._path))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(self._path, flags, FILE_MODE)
        self._size = 0


class Reader:
    """Reads the file, from its end on or as it grows.

    Args:
        path: Of the file.
        names: Only lines of these processes; empty: of all.
    """

    def __init__(self, path: Path, names: Collection[str] = ()) -> None:
        self._path = path
        self._names = names
        self._inode = 0
        self._offset = 0

    def last(self, count: int) -> list[Line]:
        """Return the last *count* lines, of both parts."""
        kept: deque[Line] = deque(maxlen=count)
        for path in (_before(self._path), self._path):
            try:
                with path.open("rb") as file:
                    data = file.read()
                    self._inode = os.fstat(file.fileno()).st_ino
            except OSError:
                continue
            self._offset = 0
            kept.extend(self._lines(data))
        return list(kept)

    def new(self) -> list[Line]:
        """Return the lines that came since the last time, over a new beginning."""
        try:
            with self._path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                rest: list[Line] = []
                if inode != self._inode:
                    rest = self._rest_of_the_part_before()
                    self._inode, self._offset = inode, 0
                file.seek(self._offset)
                return rest + list(self._lines(file.read()))
        except OSError:
            return []

    def _rest_of_the_part_before(self) -> list[Line]:
        try:
            with _before(self._path).open("rb") as file:
                if os.fstat(file.fileno()).st_ino != self._inode:
                    return []
                file.seek(self._offset)
                return list(self._lines(file.read()))
        except OSError:
            return []

    def _lines(self, data: bytes) -> Iterator[Line]:
        """Yield whole lines; what is behind the last one is read next time."""
        whole, _, rest = data.rpartition(b"\n")
        self._offset += len(data) - len(rest)
        for line in whole.decode("utf-8", "replace").split("\n") if whole else ():
            name, _, text = line.partition("\t")
            if not self._names or name in self._names:
                yield name, text


def _before(path: Path) -> Path:
    return path.with_name(path.name + ".1")
