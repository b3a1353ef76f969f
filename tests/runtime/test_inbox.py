"""Work that threads hand to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from nano import NodeInfo
from nano.errors import QueueFull, UsageError
from nano.metrics import Metrics
from nano.runtime import inbox as inbox_module
from nano.runtime.inbox import Inbox
from nano.runtime.threads import Threads

from .clients import PATIENCE, until


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    """An inbox that leaves no task behind."""
    inbox = Inbox(Metrics())
    inbox.start()
    yield inbox
    await inbox.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def in_thread(work: Callable[[], object]) -> None:
    """Run *work* in a thread of its own, and wait for its end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    await until(lambda: not thread.is_alive())


async def test_what_threads_post_is_called_in_the_loop_in_each_ones_order(
    inbox: Inbox,
) -> None:
    calls: list[tuple[int, int, int]] = []

    def note(thread: int, number: int) -> None:
        calls.append((thread, number, threading.get_ident()))

    def work(thread: int) -> None:
        for number in range(500):
            inbox.post(note, thread, number)

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, work, it) for it in range(8)))
    await until(lambda: len(calls) == 8 * 500)
    for thread in range(8):
        assert [n for it, n, _ in calls if it == thread] == list(range(500))
    assert {ident for _, _, ident in calls} == {threading.get_ident()}


async def test_a_post_from_the_loop_itself_never_waits_however_many_there_are(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nano's defect 2: the only consumer waits for room in its own queue."""
    monkeypatch.setattr(inbox_module, "MOST_WAITING", 256)
    calls: list[int] = []
    refused = 0
    for number in range(400):
        try:
            inbox.post(calls.append, number)
        except QueueFull:
            refused += 1
    assert (calls, refused) == ([], 400 - 256)
    await until(lambda: len(calls) == 256)
    inbox.post(calls.append, -1)
    await until(lambda: calls[-1] == -1)


async def test_a_full_queue_is_said_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_module, "MOST_WAITING", 2)
    metrics = Metrics()
    inbox = Inbox(metrics)
    inbox.start()
    inbox.post(list)
    inbox.post(list)
    with pytest.raises(QueueFull, match="2 calls wait for the event loop; post slower"):
        inbox.post(list)
    assert metrics.dropped == {("thread", "queue-full"): 1}
    await inbox.stop()
    assert metrics.dropped["thread", "stopped"] == 2


async def test_async_functions_that_run_count_as_waiting(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MOST_WAITING", 1)
    begun, free = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await free.wait()

    inbox.post(work)
    await begun.wait()
    with pytest.raises(QueueFull):
        inbox.post(list)
    free.set()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    inbox.post(list)


async def test_work_that_posts_work_leaves_the_loop_its_turn(inbox: Inbox) -> None:
    calls = 0
    stopped = False

    def again() -> None:
        nonlocal calls
        calls += 1
        if not stopped:
            inbox.post(again)

    again()
    for _ in range(20):
        await asyncio.sleep(0)
    stopped = True
    assert 10 <= calls <= 40


async def test_what_fails_is_logged_and_keeps_nobody_from_its_turn(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise LookupError("two")

    done = asyncio.Event()
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    inbox.post(divmod, 1, 0)
    inbox.post(gone.result)
    inbox.post(broken)
    inbox.post(done.set)
    await done.wait()
    await until(lambda: "LookupError: two" in caplog.text)
    assert "ZeroDivisionError" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


async def test_a_thread_waits_for_what_it_has_asked_for(inbox: Inbox) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    results: list[object] = []

    def work() -> None:
        results.append(inbox.ask(PATIENCE, double, 4))
        results.append(inbox.ask(PATIENCE, threading.get_ident))
        with pytest.raises(ZeroDivisionError):
            inbox.ask(PATIENCE, divmod, 1, 0)

    await in_thread(work)
    assert results == [8, threading.get_ident()]


async def test_who_waits_for_too_long_gives_up_and_the_work_ends(inbox: Inbox) -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    errors: list[BaseException] = []

    def ask() -> None:
        try:
            inbox.ask(0.01, work)
        except TimeoutError as error:
            errors.append(error)

    await in_thread(ask)
    assert errors
    await cancelled.wait()


async def test_the_loop_does_not_wait_for_itself(inbox: Inbox) -> None:
    with pytest.raises(UsageError, match="await there instead of waiting"):
        inbox.ask(PATIENCE, list)


async def test_nobody_waits_for_a_node_that_stops() -> None:
    inbox = Inbox(Metrics())
    with pytest.raises(UsageError, match="does not run"):
        inbox.post(list)
    inbox.start()
    begun = asyncio.Event()
    errors: list[str] = []

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    def ask() -> None:
        for _ in range(2):
            try:
                inbox.ask(PATIENCE, work)
            except UsageError as error:
                errors.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    await begun.wait()
    await inbox.stop()
    await until(lambda: not thread.is_alive())
    assert errors[0] == "the node has stopped meanwhile"
    assert "does not run" in errors[1]
    with pytest.raises(UsageError, match="does not run"):
        inbox.post(list)


async def test_a_component_has_it_of_its_node(inbox: Inbox) -> None:
    threads = Threads()
    info = NodeInfo("a:1", "gate", "", "c", inbox=inbox, threads=threads)
    called = asyncio.Event()

    def work() -> int:
        info.call_soon(called.set)
        return info.from_thread(abs, -7)

    assert await info.run_blocking(work) == 7
    await called.wait()
    await threads.stop()
    nowhere = NodeInfo("a:1", "gate", "", "c")
    for call in (nowhere.call_soon, nowhere.from_thread):
        with pytest.raises(UsageError, match=r"nano\.testing\.MemoryNode"):
            call(list)
