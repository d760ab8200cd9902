"""Workers inside a process (queue.start): each store, each kind."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from deadline import DEADLINE_S

from guaco.queue import (
    SIGNAL_COMPLETE,
    SIGNAL_ENQUEUED,
    SIGNAL_ERROR,
    SIGNAL_EXECUTING,
    SIGNAL_RETRYING,
    SIGNAL_TIMEOUT,
    CancelExecution,
    Event,
    MemoryQueue,
    Queue,
    QueueError,
    SqliteQueue,
    TaskCanceled,
    TaskException,
    TaskExpired,
    current_task,
)


def fresh_app(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """tests/python/queue_app.py, imported anew over the store at url."""
    monkeypatch.setenv("QUEUE_URL", url)
    monkeypatch.delitem(sys.modules, "queue_app", raising=False)
    module: ModuleType = importlib.import_module("queue_app")
    return module


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    if request.param == "memory":
        return "memory:"
    return f"sqlite:///{tmp_path}/q.db"


@pytest.fixture(params=["thread", "async"])
def app(
    request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The application with two workers of a kind."""
    module = fresh_app(url, monkeypatch)
    module.queue.start(2, kind=request.param)
    module.kind = request.param
    yield module
    module.queue.close()


def get(result: Any) -> Any:
    return result(blocking=True, timeout=DEADLINE_S)


def test_a_task_runs_and_its_result_arrives(app: Any) -> None:
    assert get(app.add(1, 2)) == 3
    assert get(app.add("a", b="b")) == "ab"
    assert get(app.double(21)) == 42  # a coroutine function
    assert get(app.add((1,), (2,))) == (1, 2)  # tuples stay tuples


def test_results_are_awaited_on_a_loop(app: Any) -> None:
    async def main() -> list[Any]:
        results = [await app.add.aenqueue(n, n) for n in range(20)]
        return list(await asyncio.gather(*results))

    assert asyncio.run(main()) == [n * 2 for n in range(20)]


def test_a_result_is_there_for_other_handles_too(app: Any) -> None:
    first = app.add(2, 3)
    assert get(first) == 5
    other = app.queue.result(first.id)
    assert other.is_ready() and other() == 5
    other.reset()
    assert other() == 5


def test_failures_are_told_with_their_traceback(app: Any) -> None:
    with pytest.raises(TaskException, match="why") as info:
        get(app.fail("why"))
    assert "raise ValueError(text)" in info.value.metadata["traceback"]

    async def main() -> None:
        with pytest.raises(TaskException, match="why"):
            await (await app.fail.aenqueue("why"))

    asyncio.run(main())


def test_retries_are_counted_and_may_run_out(app: Any) -> None:
    assert get(app.flaky(1)) == [1, 0]
    assert get(app.flaky(3)) == [3, 2]
    with pytest.raises(TaskException, match="run 3"):
        get(app.flaky(4))


def test_a_retry_waits_its_delay(app: Any) -> None:
    before = time.time()
    assert get(app.flaky_later()) >= before + 0.048  # the store counts ms


def test_a_delayed_task_runs_when_it_is_due(app: Any, tmp_path: Any) -> None:
    begin = time.monotonic()
    result = app.add.schedule((1, 1), delay=0.1)
    assert result() is None
    assert get(result) == 2
    assert time.monotonic() - begin >= 0.09


def test_events_arrive_and_end(app: Any) -> None:
    wanted = [Event(n + 1, "progress", (n + 1) / 4) for n in range(4)]
    wanted.append(Event(0, "complete", "done"))
    assert list(app.steps(4).events(DEADLINE_S)) == wanted

    async def main() -> list[Event]:
        result = await app.steps.aenqueue(4)
        return [event async for event in result.events(DEADLINE_S)]

    assert asyncio.run(main()) == wanted


def test_async_workers_run_many_at_once(app: Any, tmp_path: Any) -> None:
    results = app.meet.map([(str(tmp_path / "meet"), 2)] * 2)
    assert [get(r) for r in results] == [2, 2]


def test_a_coroutine_is_cancelled_at_its_timeout(app: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(TaskException, match="TaskTimeout"):
        get(app.adoze())
    assert time.monotonic() - begin < 25  # it would doze 30
    assert get(app.add(1, 1)) == 2


@pytest.mark.parametrize("how", ["throw", "athrow", "throw_in_child"])
def test_whatever_a_task_raises_ends_that_task_alone(app: Any, how: str) -> None:
    names = list(app.RAISED)
    for result in [getattr(app, how)(name) for name in names]:
        with pytest.raises(TaskException):
            get(result)
    assert get(app.add(1, 2)) == 3  # and the workers are all there
    assert get(app.double(2)) == 4


def test_a_coroutine_knows_its_own_task(app: Any) -> None:
    results = [app.own_id() for _ in range(20)]
    assert [get(result) for result in results] == [r.id for r in results]


def test_signals_and_hooks_of_workers(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = fresh_app(url, monkeypatch)
    seen: list[str] = []
    threads: set[int] = set()
    app.queue.signal()(lambda signal, task, *exc: seen.append(signal))
    app.queue.on_startup("more")(lambda: threads.add(threading.get_ident()))
    app.queue.start(3)
    get(app.flaky(2))
    app.queue.stop()
    # In no fixed order: the producer's comes from its own thread, and the
    # second run may begin in another before the first has told its error.
    assert sorted(seen) == sorted(
        [
            SIGNAL_ENQUEUED,
            SIGNAL_EXECUTING,
            SIGNAL_ERROR,
            SIGNAL_RETRYING,
            SIGNAL_EXECUTING,
            SIGNAL_COMPLETE,
        ]
    )
    assert len(threads) == 3
    app.queue.close()


# ---- threads ---------------------------------------------------------------


@pytest.fixture
def queue(url: str) -> Iterator[Queue]:
    made: Queue = (
        MemoryQueue("test")
        if url == "memory:"
        else SqliteQueue("test", url.removeprefix("sqlite:///"))
    )
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_an_exception_is_raised_in_a_thread_at_the_timeout(
    url: str, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    app = fresh_app(url, monkeypatch)
    seen: list[str] = []
    app.queue.signal(SIGNAL_TIMEOUT)(lambda s, task: seen.append(task.wrapper.label))
    app.queue.start(1, kind=kind)
    with pytest.raises(TaskException, match="TaskTimeout"):
        get(app.spin())
    assert get(app.add(1, 2)) == 3  # by the same thread
    app.queue.close()
    assert seen == ["spin"]


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_a_thread_that_goes_on_is_left_behind(queue: Queue, kind: str) -> None:
    from guaco._queue_worker import open_workers

    over = threading.Event()
    stubborn = queue.task(timeout=0.05, name="stubborn")(over.wait)
    double = queue.task(name="double")(lambda n: 2 * n)
    workers = open_workers(queue, 1, kind)
    workers.kill_grace_ms = 50
    workers.start(periodic=False)
    try:
        with pytest.raises(TaskException, match="after its timeout"):
            get(stubborn())
        assert get(double(1)) == 2  # by a thread in its place
    finally:
        over.set()
        assert workers.stop(DEADLINE_S)


def test_higher_priority_runs_first(queue: Queue) -> None:
    order: list[int] = []
    work = queue.task(name="work")(lambda n: order.append(n))
    results = [work.schedule((n,), priority=n) for n in (0, 5, -5, 5, 10)]
    queue.start(1)
    for result in results:
        get(result)
    assert order == [10, 5, 5, 0, -5]


def test_an_expired_task_is_not_run(queue: Queue) -> None:
    ran: list[int] = []
    work = queue.task(name="work", expires=0.02)(lambda: ran.append(1))
    result = work()
    fresh = work.schedule(expires=3600)
    deadline = threading.Event()
    deadline.wait(0.03)  # let it expire: there is no one to tell us when
    queue.start(1)
    get(fresh)
    with pytest.raises(TaskExpired):
        get(result)
    assert ran == [1]


def test_a_task_may_cancel_itself(queue: Queue) -> None:
    @queue.task(name="work", retries=5)
    def work() -> None:
        raise CancelExecution("enough", retry=False)

    queue.start(1)
    with pytest.raises(TaskCanceled, match="enough"):
        get(work())


def test_a_task_that_nobody_knows_fails_by_name(
    url: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    work = queue.task(name="work")(lambda: 1)
    result = work()
    work.unregister()
    queue.start(1)
    with caplog.at_level(logging.ERROR):
        with pytest.raises(TaskException, match="no task"):
            get(result)


def test_stop_waits_for_what_runs(queue: Queue) -> None:
    entered, leave = threading.Event(), threading.Event()

    @queue.task(name="work")
    def work() -> str:
        entered.set()
        leave.wait(DEADLINE_S)
        return "ended"

    queue.start(2)
    result = work()
    assert entered.wait(DEADLINE_S)
    waiting = work()  # claimed or not, it goes back or runs
    assert queue.stop(timeout=0.02) is False
    leave.set()
    queue.start(2)  # others beside the one that still runs
    assert get(result) == "ended"
    assert get(waiting) == "ended"
    assert queue.stop() is True


def test_start_and_stop_are_told_apart(queue: Queue) -> None:
    queue.task(name="work")(lambda: None)
    with queue:
        with pytest.raises(QueueError, match="run already"):
            queue.start()
    assert queue.stop()
    with pytest.raises(ValueError, match="1 to 4096"):
        queue.start(0)
    with pytest.raises(QueueError, match="guaco work"):
        queue.start(1, kind="process")  # type: ignore[arg-type]
    with queue:
        pass


def test_a_task_cannot_stop_its_own_worker(queue: Queue) -> None:
    @queue.task(name="work")
    def work() -> bool:
        return queue.stop()

    queue.start(1)
    workers = queue._workers
    with pytest.raises(TaskException, match="its own worker"):
        get(work())
    queue._workers = workers  # stop() had let go of them


def test_tasks_may_enqueue_and_wait(queue: Queue) -> None:
    inner = queue.task(name="inner")(lambda n: n + 1)

    @queue.task(name="outer")
    def outer(n: int) -> Any:
        return get(inner(n))

    queue.start(2)
    assert get(outer(1)) == 2


def test_many_jobs_from_many_threads_all_run_once(queue: Queue) -> None:
    counts: dict[int, int] = {}
    lock = threading.Lock()

    @queue.task(name="work")
    def work(n: int) -> int:
        with lock:
            counts[n] = counts.get(n, 0) + 1
        return n

    queue.start(4)
    results: list[Any] = []

    def produce(start: int) -> None:
        results.extend(work(n) for n in range(start, start + 250))

    threads = [threading.Thread(target=produce, args=(k * 250,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(get(r) for r in results) == list(range(1000))
    assert set(counts.values()) == {1}


def test_a_subclass_sees_every_run(
    url: str, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Logging:
        def execute(self, task: Any) -> Any:
            logging.warning("execute %s", task.wrapper.label)
            return super().execute(task)  # type: ignore[misc]

    class LoggingQueue(Logging, Queue):
        pass

    queue = LoggingQueue(url, name="logging")
    work = queue.task(name="work")(lambda: current_task().attempt)
    with caplog.at_level(logging.WARNING):
        with queue:
            assert get(work()) == 1
    assert "execute work" in caplog.text
    queue.close()


def test_a_pid_is_its_own(queue: Queue) -> None:
    queue.start(1)
    assert get(queue.task(name="work")(os.getpid)()) == os.getpid()
