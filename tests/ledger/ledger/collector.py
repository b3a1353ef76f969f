"""Keeps what the backends write: ``… ledger.collector FOLDER PORT SECONDS``.

Each run has a file of its own, named after it.  After each write, and that many seconds
more, the sender is told how many of its lines are in the files.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import defaultdict
from pathlib import Path

from .records import Record

__all__ = ["Collector"]

READ_SIZE = 65536


class Collector:
    """Appends to the files of a folder what comes by TCP.

    Args:
        folder: Where they are.
        pause: Seconds between writing and saying so: backends have that much in hand.
    """

    def __init__(self, folder: Path, pause: float = 0.0) -> None:
        self._folder = folder
        self._pause = pause

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take the lines of one sender until it goes; half a line is not kept."""
        have, rest = 0, b""
        try:
            while data := await reader.read(READ_SIZE):
                *lines, rest = (rest + data).split(b"\n")
                self._keep([line.decode() for line in lines])
                have += len(lines)
                await asyncio.sleep(self._pause)
                writer.write(b"%d\n" % have)
                await writer.drain()
        except ConnectionError:
            pass  # its pod was killed
        finally:
            writer.close()

    def _keep(self, lines: list[str]) -> None:
        runs: defaultdict[str, list[str]] = defaultdict(list)
        for line in lines:
            runs[Record.of(line).run].append(f"{line}\n")
        for run, its in runs.items():
            with (self._folder / run).open("a") as file:
                file.writelines(its)

    def lines(self, run: str) -> list[str]:
        """Return what was written in *run*."""
        return (self._folder / run).read_text().splitlines()


async def main(folder: Path, port: int, pause: float) -> None:
    """Serve until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    serve = Collector(folder, pause).serve
    async with await asyncio.start_server(serve, "0.0.0.0", port):
        await over.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
