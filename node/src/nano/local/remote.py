"""Talking to the supervisor of a cluster from another terminal.

Which cluster is meant follows from a manifest, given or in the folder one is in, or
from there being only one.  A supervisor that was killed is not taken for one that runs,
nor is another process that has its number: see :mod:`nano.local.places`.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from nano.admin.asking import ask
from nano.errors import NanoError, UsageError
from nano.local.places import AlreadyUpError, Place, State, places_in_use
from nano_manifest import load

__all__ = [
    "NotUpError",
    "RemoteError",
    "asked",
    "detach",
    "find",
    "needed",
    "reload",
    "status",
    "stop",
]

DEFAULT_MANIFEST: Final = Path("cluster.yaml")
SECONDS_TO_STOP: Final = 60.0
SECONDS_BETWEEN_LOOKS: Final = 0.05

Found = tuple[Place, State | None]


class RemoteError(NanoError):
    """The supervisor did not do what was asked; the text says why."""


class NotUpError(NanoError):
    """The cluster is not up."""


def find(manifest: Path | None) -> Found:
    """Return the cluster that is meant, and its supervisor if it is up.

    Args:
        manifest: Which one; ``None``: that of the folder one is in, or the only one
            that is up.

    Raises:
        ManifestError: The manifest cannot be read.
        UsageError: There is none, and none or several are up.
    """
    if manifest is None and DEFAULT_MANIFEST.exists():
        manifest = DEFAULT_MANIFEST
    known = places_in_use()
    if manifest is not None:
        path = str(manifest.resolve())
        for folder, state in known.items():  # whatever the file says by now
            if state.manifest == path:
                return Place(folder), state
        place = Place.of(manifest, load(manifest).metadata.name)
        return place, place.state()
    if len(known) == 1:
        ((folder, state),) = known.items()
        return Place(folder), state
    if not known:
        raise UsageError("no cluster is up; `nanoctl up -f FILE` starts one")
    up = "".join(f"\n  -f {state.manifest}" for state in known.values())
    raise UsageError(f"several clusters are up; say which one is meant:{up}")


def needed(found: Found) -> tuple[Place, State]:
    """Return *found*.

    Raises:
        NotUpError: It is not up.
    """
    place, state = found
    if state is None:
        name = place.folder.name.rpartition("-")[0]
        raise NotUpError(f"{name} is not up; `nanoctl up` starts it")
    return place, state


def status(state: State) -> dict[str, Any]:
    """Return how a cluster is, as its supervisor says.

    Raises:
        RemoteError: The supervisor does not answer.
    """
    return asyncio.run(asked(state))


async def asked(state: State) -> dict[str, Any]:
    """Return the same, in an event loop that runs.

    Raises:
        RemoteError: The supervisor does not answer.
    """
    answer = await ask(state.socket, "/status")
    if answer is None or answer.status != 200:
        raise RemoteError(f"the supervisor (pid {state.pid}) does not answer")
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    return told


def stop(place: Place, state: State) -> None:
    """Stop a cluster in order, and wait until it is down.

    Raises:
        RemoteError: It does not stop in time.
    """
    try:
        descriptor = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return
    try:
        # held from here on: were the number given to another process in between, the
        # lock would be free
        if place.state() != state:
            return
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not select.select([descriptor], [], [], SECONDS_TO_STOP)[0]:
            text = f"pid {state.pid} has not stopped after {SECONDS_TO_STOP:g} s; "
            raise RemoteError(text + "`nanoctl logs` may say why")
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def reload(state: State, everything: bool, say: Callable[[str], None]) -> None:
    """Let a cluster take up what has changed.

    Args:
        state: Its supervisor.
        everything: Replace also what has not changed.
        say: Told of each step.

    Raises:
        RemoteError: It failed; what it would have replaced runs on.
    """
    asyncio.run(_reload(state, everything, say))


async def _reload(state: State, everything: bool, say: Callable[[str], None]) -> None:
    connector = aiohttp.UnixConnector(state.socket)
    timeout = aiohttp.ClientTimeout(total=None)  # each step has a deadline of its own
    body = msgspec.json.encode({"all": everything})
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as client,
            client.post("http://supervisor/reload", data=body) as answer,
        ):
            async for line in answer.content:
                told = msgspec.json.decode(line)
                if "error" in told:
                    raise RemoteError(told["error"])
                if "done" in told:
                    return
                say(told["say"])
    except (aiohttp.ClientError, OSError) as error:
        text = f"the supervisor (pid {state.pid}) is gone: {error}"
        raise RemoteError(text) from error
    raise RemoteError(f"the supervisor (pid {state.pid}) has ended in the middle")


def detach(manifest: Path, name: str, words: Sequence[str]) -> dict[str, Any]:
    """Start ``nanoctl up`` without a terminal; return its status when all is ready.

    Args:
        manifest: Of the cluster.
        name: Of the cluster.
        words: The flags that it is called with.

    Raises:
        AlreadyUpError: It is up already.
        RemoteError: It did not come up; the text is what it has said.
    """
    place = Place.of(manifest, name)
    before = place.state()
    if before is not None:
        text = f"{name} is up already (pid {before.pid}); `nanoctl status` shows it"
        raise AlreadyUpError(text)
    with tempfile.TemporaryFile() as last_words:
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "nano.cli", "up", "-f", manifest, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=last_words,
            start_new_session=True,  # the terminal's end is none of its business
        )
        try:
            while started.poll() is None:
                state = place.state()
                if state is not None and state.pid == started.pid:
                    answer = asyncio.run(ask(state.socket, "/status"))
                    told = msgspec.json.decode(answer.body) if answer else {}
                    if told.get("phase") == "ready":
                        return _detached(started, told)
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except BaseException:  # Ctrl-C while it starts
            started.terminate()
            started.wait()
            raise
        last_words.seek(0)
        text = last_words.read().decode("utf-8", "replace").strip()
    raise RemoteError(text.removeprefix("Error: ") or f"{name} was stopped")


def _detached(started: subprocess.Popen[bytes], told: dict[str, Any]) -> dict[str, Any]:
    started.returncode = 0  # it runs on, and is nobody's to wait for
    return told
