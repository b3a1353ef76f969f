"""Ports: the doors that all gates share, and free ones for ourselves.

Each gate has sockets of its own on the same ports (``SO_REUSEPORT``): the kernel
spreads new clients over the gates that listen, and over those alone.  So a gate
that is starting gets nobody yet, and one that dies keeps nobody waiting.

A unix socket cannot be had twice: there is one, which all gates accept from.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from nano.errors import UsageError
from nano.local.places import who_listens
from nano.transports.files import SocketFile
from nano_manifest import Listener, NanoCluster

__all__ = ["Doors", "free_ports"]

# Below the range from which the kernel takes ports for outgoing connections, so
# that a node that is started again still finds its port free.
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 29_999
BLOCK: Final = 200  # ports that one process looks in first, and no other of ours does


class Doors:
    """The manifest's listeners on this machine, for as many gates as there are.

    Owned by the supervisor, which changes them when the manifest changes.

    Args:
        cluster: Whose listeners.
        host: The address they bind.
        app_dir: Where relative paths of unix sockets begin.
        stack: Gives the ports up at the end.

    Raises:
        UsageError: A port or a path is in use, or *host* is no address of this
            machine.
    """

    def __init__(
        self, cluster: NanoCluster, host: str, app_dir: Path, stack: ExitStack
    ) -> None:
        self._host = host
        self._app_dir = app_dir
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._doors: dict[str, int | Path] = {}  # by listener
        self._held: dict[int | Path, ExitStack] = {}  # what gives each up
        self._files: dict[Path, socket.socket] = {}
        stack.callback(self._give_up, frozenset())
        self.change(cluster)

    def change(self, cluster: NanoCluster) -> None:
        """Be the doors of *cluster* from now on; what both have stays as it is.

        What only the one before had is kept until :meth:`tidy`.

        Raises:
            UsageError: A new port or path is in use; all is as it was before.
        """
        listeners = cluster.spec.gates.listeners
        before = frozenset(self._held)
        try:
            doors = {item.name: self._take(item) for item in listeners}
        except UsageError:
            self._give_up(before)
            raise
        self._doors = doors

    def tidy(self) -> None:
        """Give up what no listener has any more."""
        self._give_up(frozenset(self._doors.values()))

    def open(self) -> dict[str, socket.socket]:
        """Return one gate's sockets by listener: bound, and not listening yet.

        The gate listens when it is ready.  Whoever calls closes them when the gate
        has its copies, so that they end with it.

        Raises:
            OSError: Somebody else has taken a port meanwhile.
        """
        opened: dict[str, socket.socket] = {}
        try:
            for name, door in self._doors.items():
                if isinstance(door, int):
                    opened[name] = self._bind(door, shared=True)
                else:
                    opened[name] = self._files[door].dup()
        except OSError:
            for done in opened.values():
                done.close()
            raise
        return opened

    def _take(self, listener: Listener) -> int | Path:
        """Have the port or path of *listener*; return it."""
        door = listener.port or self._app_dir / listener.socket
        if door in self._held:
            return door
        with ExitStack() as stack:
            if isinstance(door, int):
                try:
                    self._claim(door, stack)
                    # Sharing is for our gates: alone, we would not notice a stranger.
                    self._bind(door, shared=False).close()
                except OSError as error:
                    raise UsageError(self._refusal(listener, error)) from error
            else:
                made = SocketFile(listener.name, door)
                stack.callback(made.remove)
                self._files[door] = stack.enter_context(made.socket)
            self._held[door] = stack.pop_all()
        return door

    def _give_up(self, others: frozenset[int | Path]) -> None:
        """Give up all but *others*."""
        for door in self._held.keys() - others:
            self._held.pop(door).close()

    def _claim(self, port: int, stack: ExitStack) -> None:
        """Keep another ``nanoctl up`` away while none of our gates listens yet."""
        claim = stack.enter_context(socket.socket(socket.AF_UNIX))
        claim.bind(f"\0nanocluster:{self._host}:{port}")

    def _bind(self, port: int, *, shared: bool) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((self._host, port))
        except OSError:
            bound.close()
            raise
        return bound

    def _refusal(self, listener: Listener, error: OSError) -> str:
        number = error.errno or 0  # negative: a name that cannot be resolved
        reason = os.strerror(number) if number > 0 else error.strerror
        cure = "choose another port in spec.gates.listeners"
        if number == errno.EADDRINUSE:
            other = who_listens(listener.port or 0)
            if other is None:
                cure = f"stop what uses it, or {cure}"
            else:
                reason = f"{reason} by the cluster {other.name}"
                cure = f"`nanoctl down -f {other.manifest}` stops that, or {cure}"
        elif number != errno.EACCES:
            cure = "--host takes an address of this machine"
        return (
            f"listener {listener.name} cannot use port {listener.port} of "
            f"{self._host}: {reason}; {cure}"
        )


def free_ports(count: int) -> list[int]:
    """Return *count* different ports of loopback that are free now.

    Between now and when they are bound, no other process of ours is given them, as long
    as this one lives and needs no more than a block; nor are they given again at once.

    Raises:
        UsageError: There are not as many.
    """
    with ExitStack() as held:  # all at once, so that none is found twice
        ports: list[int] = []
        for port in _candidates():
            if len(ports) == count:
                return ports
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    message = f"only {len(ports)} of {count} ports are free; use fewer replicas"
    raise UsageError(message)


class _Block:
    """Ports that this process alone looks in.

    It has a name of the machine's for that, an abstract unix socket, as long as it
    lives.  Where all are taken, it shares a block with others.
    """

    def __init__(self) -> None:
        starts = list(range(FIRST_PORT, LAST_PORT + 1, BLOCK))
        random.shuffle(starts)
        claim = socket.socket(socket.AF_UNIX)
        for self.first in starts:
            with contextlib.suppress(OSError):
                claim.bind(f"\0nanocluster-ports:{self.first}")
                break
        claim.detach()  # to the end of the process, which closes it
        self._turn = 0

    def __iter__(self) -> Iterator[int]:
        """Yield each once, from the one after the last."""
        for _ in range(BLOCK):
            self._turn = (self._turn + 1) % BLOCK
            yield self.first + self._turn


@functools.cache
def _our_block() -> _Block:
    return _Block()


def _candidates() -> Iterator[int]:
    """Yield every port of the range once, those of our block first."""
    block = _our_block()
    yield from block
    size = LAST_PORT - FIRST_PORT + 1
    for step in range(BLOCK, size):
        yield FIRST_PORT + (block.first - FIRST_PORT + step) % size
