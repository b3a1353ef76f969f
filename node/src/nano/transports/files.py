"""Sockets that are files: made, found dead or alive, and removed."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

from nano.errors import UsageError

__all__ = ["SocketFile"]

MODE: Final = 0o660  # user and group; the rest of the machine are strangers
LONGEST_PATH: Final = 107  # bytes: the kernel keeps 108, with a zero at the end


class SocketFile:
    """A socket in the file system, bound and not listening yet.

    Until it listens nobody can connect, so nobody comes before its mode is set.  What
    a process that has died left at the path is removed.

    Args:
        name: The listener's, for messages.
        path: Where the file is to be.

    Attributes:
        socket: The socket itself; whoever uses it closes it.

    Raises:
        UsageError: Somebody listens there, something else is there, or the folder
            does not allow it.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._path = path
        refusal = f"listener {name} cannot use {path}: "
        if len(os.fsencode(path)) > LONGEST_PATH:
            text = f"a socket's path has at most {LONGEST_PATH} bytes; choose another"
            raise UsageError(refusal + text)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            in_the_way = _clear(path)
            if in_the_way:
                raise UsageError(refusal + in_the_way)
            self.socket.bind(str(path))
            path.chmod(MODE)
            # held open so that no other file gets the same number
            self._held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            self.socket.close()
            text = f"{error.strerror}; choose a folder that is there and may be written"
            raise UsageError(refusal + text) from error
        except UsageError:
            self.socket.close()
            raise

    def remove(self) -> None:
        """Remove the file, unless another socket has taken its place; call it once."""
        with contextlib.suppress(OSError):  # it is gone already, or its folder is
            if os.path.samestat(self._path.lstat(), os.fstat(self._held)):
                self._path.unlink()
        os.close(self._held)


def _clear(path: Path) -> str:
    """Make sure that nothing is at *path*; or return what is, and what to do."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    if not stat.S_ISSOCK(mode):
        return "it is there and no socket; remove it or choose another path"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        found = probe.connect_ex(str(path))
    if found not in (errno.ECONNREFUSED, errno.ENOENT):
        return "somebody listens there; stop what uses it or choose another path"
    path.unlink(missing_ok=True)
    return ""
