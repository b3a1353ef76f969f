"""Starting and stopping the two HTTP servers.

An address is ``host:port``, ``[::1]:port`` or ``unix:path``; port 0 lets the kernel
choose.  What was bound is known afterwards.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from nano.admin.asking import UNIX
from nano.admin.control import control_application
from nano.admin.observe import observe_application
from nano.admin.processes import Processes, control_processes
from nano.admin.subject import Reach, Subject
from nano.errors import UsageError

__all__ = ["AdminServer"]

SECONDS_IDLE: Final = 30.0  # for a connection's first request too
SECONDS_TO_FINISH: Final = 2.0  # requests that run at the end, bodies unread
LONGEST_UNIX_PATH: Final = 107  # bytes, on Linux
LARGEST_PORT: Final = 65_535
BACKLOG: Final = 128


class AdminServer:
    """The observe and control servers of one node; either may be absent.

    Args:
        subject: The node they speak for, or the processes of one.
        observe: Where ``/healthz``, ``/readyz`` and ``/metrics`` are.
        control: Where ``/status``, ``/sessions``, ``/push`` and the like are.
        token: What control demands over TCP; a unix socket needs none.
        reach: How it reaches users, if it does.

    Attributes:
        observe_address: What was bound; empty before :meth:`start` and if absent.
        control_address: The same for control.
    """

    def __init__(
        self,
        subject: Subject | Processes,
        *,
        observe: str | None = None,
        control: str | None = None,
        token: str | None = None,
        reach: Reach | None = None,
    ) -> None:
        self.observe_address = ""
        self.control_address = ""
        self._subject = subject
        self._observe = observe
        self._control = control
        self._token = token
        self._reach = reach
        self._runners: list[web.AppRunner] = []
        self._socket_files: list[Path] = []

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            UsageError: An address cannot be bound or understood, or control would
                be open to everybody.
        """
        try:
            if self._observe:
                listening = self._listen(self._observe, "observe")
                bound = await self._serve(
                    observe_application(self._subject.not_ready, self._subject.metrics),
                    listening,
                )
                self.observe_address = bound or self._observe
            if self._control:
                await self._start_control(self._control)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop serving; harmless when nothing was started."""
        while self._runners:
            await self._runners.pop().cleanup()
        while self._socket_files:
            self._socket_files.pop().unlink(missing_ok=True)

    async def _start_control(self, address: str) -> None:
        local = address.startswith(UNIX)
        if not local and not self._token:
            message = (
                f"control on {address} needs a token: give --token-file, or use "
                "unix:PATH, which only its owner can open"
            )
            raise UsageError(message)
        application = self._control_application(None if local else self._token)
        listening = self._listen(address, "control")
        self.control_address = await self._serve(application, listening) or address

    def _control_application(self, token: str | None) -> web.Application:
        if isinstance(self._subject, Processes):
            return control_processes(self._subject, token)
        return control_application(self._subject, token, self._reach)

    def _listen(self, address: str, name: str) -> socket.socket:
        if not address.startswith(UNIX):
            return _listen_tcp(address, name)
        path = Path(address.removeprefix(UNIX))
        listening = _listen_unix(path, name)
        self._socket_files.append(path)
        return listening

    async def _serve(
        self, application: web.Application, listening: socket.socket
    ) -> str:
        runner = web.AppRunner(
            application,
            access_log=None,  # probes come every second
            keepalive_timeout=SECONDS_IDLE,
            shutdown_timeout=SECONDS_TO_FINISH,
            lingering_time=SECONDS_TO_FINISH,  # for a body that nobody wants
        )
        self._runners.append(runner)
        try:
            await runner.setup()
            await web.SockSite(runner, listening, backlog=BACKLOG).start()
        except BaseException:
            listening.close()
            raise
        if listening.family == socket.AF_UNIX:
            return ""
        host, port = listening.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen_tcp(address: str, name: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() else LARGEST_PORT + 1
    if not host or number > LARGEST_PORT:
        message = f"{name} needs HOST:PORT, as 127.0.0.1:7651, not {address!r}"
        raise UsageError(message)
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server((bare, number), family=family, backlog=BACKLOG)
    except OSError as error:
        number = error.errno or 0  # negative: a name that cannot be resolved
        reason = os.strerror(number) if number > 0 else error.strerror
        message = (
            f"{name} cannot use {address}: {reason}; stop what uses it or choose "
            "another port"
        )
        raise UsageError(message) from error


def _listen_unix(path: Path, name: str) -> socket.socket:
    """Listen on *path*, a file that only its owner can open from the first moment."""
    if len(os.fsencode(path)) > LONGEST_UNIX_PATH:
        message = f"{name}: {path} is longer than {LONGEST_UNIX_PATH} bytes; choose "
        raise UsageError(message + "a shorter path")
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
    except OSError as error:
        listening.close()
        message = f"{name} cannot use {path}: {error.strerror}; choose another path"
        raise UsageError(message) from error
    finally:
        os.umask(before)
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a node that was killed; leave a living one's alone."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(os.fspath(path))
                except ConnectionRefusedError:
                    path.unlink()
