"""Run whole clusters, one after the other, and say what each has left behind.

A program for ``test_leaks.py``: a process of its own, so that other tests' tasks,
sockets and threads are not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import time

from nano.client import connect
from nano.errors import RequestError
from nano.testing import LocalCluster
from tests.node.clusters import APP_DIR, manifest

SECONDS_TO_CLOSE = 10.0


async def one_life() -> list[str]:
    """Start, use and stop a cluster; return the names of tasks that are left."""
    async with LocalCluster(manifest(gates=2, local=True), app_dir=APP_DIR) as cluster:
        for listener in ("tcp", "ws"):
            client = await connect(cluster.url(listener))
            await client.request("Talk.echo", {"text": "x"})
            await client.request("Local.where", None)
            if listener == "tcp":
                await client.close()
        hanging = asyncio.create_task(client.request("Talk.forever", None))
        await asyncio.sleep(0)
        await cluster.backends["talk"][0].stop()
        await client.notify("Talk.shout", {"text": "x"})
        await client.close()
        with contextlib.suppress(RequestError, Exception):
            await hanging
    await asyncio.sleep(0)  # callbacks of what has just ended
    current = asyncio.current_task()
    return [task.get_name() for task in asyncio.all_tasks() if task is not current]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def left_over(before: int) -> int:
    """Return how many more files are open than *before*; gRPC closes its own late."""
    deadline = time.monotonic() + SECONDS_TO_CLOSE
    while (more := open_files() - before) > 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    return more


def main(lives: int) -> None:
    """Print a line of JSON for each life."""
    before = open_files()
    for _ in range(lives):
        tasks = asyncio.run(one_life())
        gc.collect()
        threads = sorted(thread.name for thread in threading.enumerate())
        files = left_over(before)
        print(json.dumps({"tasks": tasks, "threads": threads, "files": files}))  # noqa: T201


main(int(sys.argv[1]))
