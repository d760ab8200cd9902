"""A queue over each store: what enqueuing promises, before anyone works."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from guaco import Error
from guaco.queue import (
    SIGNAL_ENQUEUED,
    MemoryQueue,
    Queue,
    QueueError,
    ResultTimeout,
    SqliteQueue,
    Task,
    all_queues,
)


@pytest.fixture(params=["memory", "sqlite"])
def queue(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Queue]:
    made: Queue
    if request.param == "memory":
        made = MemoryQueue("test")
    else:
        made = SqliteQueue("test", tmp_path / "q.db")
    yield made
    made.close()


def test_nothing_is_opened_before_first_use(tmp_path: pathlib.Path) -> None:
    queue = SqliteQueue("idle", tmp_path / "idle.db")
    queue.task(name="work")(lambda: None)
    assert list(tmp_path.iterdir()) == []
    queue.close()
    assert list(tmp_path.iterdir()) == []


def test_a_name_means_a_file_of_the_working_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    queue = Queue("demo")
    assert (queue.name, queue.url) == ("demo", f"sqlite:///{tmp_path}/demo.db")
    assert SqliteQueue("demo").url == queue.url
    assert SqliteQueue(fsync=True).url.endswith("guaco.db?synchronous=full")
    monkeypatch.chdir("/")  # where it was made counts
    assert queue.task(name="x")(lambda: None)()
    assert (tmp_path / "demo.db").exists()
    queue.close()


def test_an_enqueued_task_waits_in_the_store(queue: Queue) -> None:
    @queue.task(priority=5, retries=2)
    def work(a: int, *, b: str) -> None:
        pass

    result = work(1, b="x")
    assert result.id > 0
    assert result() is None
    assert not result.is_ready()
    assert queue.stats() == {
        "waiting": 1,
        "delayed": 0,
        "running": 0,
        "dead": 0,
        "results": 0,
        "recurring": 0,
        "held": 0,
    }
    (row,) = queue.list()
    assert (row["args"], row["kwargs"]) == ([1], {"b": "x"})
    assert row["name"] == work.name == "test_queue_store.work"
    assert (row["priority"], row["retries"], row["attempt"]) == (5, 2, 0)
    assert len(queue) == queue.pending_count() == 1


def test_tasks_are_listed_in_the_order_in_which_they_run(queue: Queue) -> None:
    work = queue.task(name="work")(lambda n: None)
    for priority, n in [(0, 1), (10, 2), (0, 3), (-1, 4), (10, 5)]:
        work.schedule((n,), priority=priority)
    assert [row["args"] for row in queue.list()] == [[2], [5], [1], [3], [4]]
    assert [r["args"] for r in queue.list(offset=1, limit=2)] == [[5], [1]]


def test_what_is_due_later_is_delayed(queue: Queue) -> None:
    work = queue.task(name="work")(lambda: None)
    before = time.time()
    work.schedule(delay=60)
    work.schedule(eta=dt.datetime.now() + dt.timedelta(hours=1))
    work.schedule(eta=dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1))
    assert (queue.pending_count(), queue.scheduled_count()) == (1, 2)
    first, second = queue.list("delayed")
    assert 59 <= first["due_ms"] / 1000 - before <= 62
    assert 3590 <= second["due_ms"] / 1000 - before <= 3610


def test_purge_and_flush_delete_what_they_name(queue: Queue) -> None:
    work = queue.task(name="work")(lambda: None)
    work.map([()] * 3)
    work.schedule(delay=60)
    assert queue.purge("waiting") == 3
    assert queue.stats()["delayed"] == 1
    queue.flush()
    assert queue.stats()["delayed"] == 0
    for bad in ("running", "nonsense"):
        with pytest.raises(ValueError, match="a state is one of"):
            queue.purge(bad)
    with pytest.raises(ValueError, match="a state is one of"):
        queue.list("results")
    with pytest.raises(Error):
        queue.retry(12345)


def test_a_wait_ends_at_its_timeout(queue: Queue) -> None:
    result = queue.task(name="work")(lambda: None)()
    with pytest.raises(ResultTimeout):
        result(blocking=True, timeout=0.01)
    with pytest.raises(TimeoutError):
        list(result.events(timeout=0.01))

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await result
        with pytest.raises(TimeoutError):
            async for _ in result.events(timeout=0.01):
                pass

    asyncio.run(main())


def test_several_hundred_wait_on_one_loop(queue: Queue) -> None:
    work = queue.task(name="work")(lambda n: None)

    async def main() -> list[int]:
        results = await asyncio.gather(*(work.aenqueue(n) for n in range(300)))
        waits = [asyncio.ensure_future(r._wait()) for r in results]
        await asyncio.sleep(0)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return [r.id for r in results]

    ids = asyncio.run(main())
    assert len(set(ids)) == 300
    assert queue.pending_count() == 300
    asyncio.run(main())  # on another loop
    assert queue.pending_count() == 600


def test_enqueuing_from_many_threads_loses_nothing(queue: Queue) -> None:
    work = queue.task(name="work")(lambda n: None)
    ids: list[int] = []

    def produce() -> None:
        mine = [work(n).id for n in range(200)]
        ids.extend(mine)

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1600
    assert queue.pending_count() == 1600


def test_many_are_stored_all_or_none(queue: Queue) -> None:
    work = queue.task(name="work")(lambda n: None)
    with pytest.raises(TypeError, match="pickle"):
        work.map([1, 2, object()])
    assert queue.pending_count() == 0
    assert [r.id for r in work.map(range(100))]
    assert queue.pending_count() == 100


def test_arguments_that_are_too_large_are_refused(queue: Queue) -> None:
    work = queue.task(name="work")(lambda x: None)
    with pytest.raises(ValueError):
        work(b"x" * (1 << 20))
    assert queue.pending_count() == 0


def test_the_enqueued_signal_has_the_id(queue: Queue) -> None:
    seen: list[int] = []

    @queue.signal(SIGNAL_ENQUEUED)
    def on_enqueued(signal: str, task: Task) -> None:
        seen.append(task.id)

    result = queue.task(name="work")(lambda: None)()
    assert seen == [result.id]


def test_a_closed_queue_opens_again(queue: Queue) -> None:
    work = queue.task(name="work")(lambda: None)
    work()
    queue.close()
    queue.close()
    work()
    assert queue.pending_count() == (1 if queue.is_local else 2)


def test_a_result_is_found_by_its_id(queue: Queue) -> None:
    result = queue.task(name="work")(lambda: None)()
    again = queue.result(result.id)
    assert again.id == result.id
    assert again() is None
    assert queue.result(10**9)() is None


def test_queues_that_are_gone_are_not_listed() -> None:
    queue = MemoryQueue("gone")
    assert queue in all_queues()
    number = queue._number
    del queue
    gc.collect()
    assert number not in [q._number for q in all_queues()]


# ---- names -----------------------------------------------------------------


def _of_main() -> Any:
    def work() -> None:
        pass

    work.__module__ = "__main__"
    return work


def test_a_task_of_main_is_an_error_at_enqueue(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    queue = SqliteQueue("main", tmp_path / "q.db")
    work = queue.task()(_of_main())
    with pytest.raises(QueueError, match="__main__"):
        work()
    assert MemoryQueue("local").task()(_of_main())().id  # no one else runs it


def test_a_script_is_named_by_the_module_that_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    import types

    script = tmp_path / "my_script.py"
    script.write_text("")
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.syspath_prepend(str(tmp_path))
    queue = SqliteQueue("main", tmp_path / "q.db")
    work = queue.task()(_of_main())
    assert work.name == "my_script.work"
    # another file of that name comes first on the path: not the same module
    other = tmp_path / "first"
    other.mkdir()
    (other / "my_script.py").write_text("")
    monkeypatch.syspath_prepend(str(other))
    with pytest.raises(QueueError):
        queue.task(name="again")(_of_main())()


# ---- fork ------------------------------------------------------------------


def test_the_child_of_a_fork_opens_its_own_store(
    tmp_path: pathlib.Path,
) -> None:
    queue = SqliteQueue("fork", tmp_path / "q.db")
    work = queue.task(name="work")(lambda n: None)
    work(1)
    watching = work(2)

    async def wait() -> None:  # the parent has a loop's mailbox and a watch
        task = asyncio.ensure_future(watching._wait())
        await asyncio.sleep(0)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with pytest.raises(ResultTimeout):
                    work(3)(blocking=True, timeout=0.01)
                gc.collect()
                code = 0 if queue.pending_count() == 3 else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        task.cancel()

    asyncio.run(wait())
    assert work(4).id
    assert queue.pending_count() == 4
    queue.close()


def test_a_parents_store_is_not_for_the_child(tmp_path: pathlib.Path) -> None:
    from guaco._core import Broker

    broker = Broker(f"sqlite:///{tmp_path}/q.db")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            broker.stats("test")
        except Error as exc:
            code = 0 if "another process" in str(exc) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert broker.stats("test")["waiting"] == 0
    broker.close()
    with pytest.raises(Error, match="closed"):
        broker.stats("test")
