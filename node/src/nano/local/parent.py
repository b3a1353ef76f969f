"""A node that its supervisor started ends when the supervisor does.

The supervisor holds one end of a pipe and never writes; each node holds the other
end.  Whatever ends the supervisor, even SIGKILL, closes the pipe, and the node
reads its end.  (The kernel's parent-death signal would do the same, but can only
be set between fork and exec, where Python code is not safe.)
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

__all__ = ["PARENT_FD", "WATCHED", "is_watched", "stop_with_parent"]

PARENT_FD: Final = "NANO_PARENT_FD"
WATCHED: Final = "NANO_WATCHED"
SECONDS_TO_STOP: Final = 10.0


def stop_with_parent() -> bool:
    """Stop this process when the pipe named in ``NANO_PARENT_FD`` ends.

    Does nothing where there is no such variable, and returns whether there is.
    The stop is the same clean one as by SIGINT, for all nodes stop at once and there is
    nobody to move clients to; and a hard one if that takes too long.
    """
    number = os.environ.pop(PARENT_FD, "")
    if not number:
        return False
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    threading.Thread(
        target=_wait, args=(descriptor,), name="parent", daemon=True
    ).start()
    return True


def is_watched() -> bool:
    """Return whether the supervisor shows what we write to somebody who watches."""
    return bool(os.environ.pop(WATCHED, ""))


def _wait(descriptor: int) -> None:
    os.read(descriptor, 1)  # nobody ever writes: this returns at the end only
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SECONDS_TO_STOP)
    os.kill(os.getpid(), signal.SIGKILL)
