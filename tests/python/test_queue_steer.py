"""Cancel, pause, revoke, unique keys, limits, locks, schedules, keys."""

from __future__ import annotations

import asyncio
import datetime as dt
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deadline import DEADLINE_S, WAIT
from guaco import (
    Crontab,
    Limit,
    MemoryQueue,
    Queue,
    QueueError,
    RateLimitExceeded,
    ResultTimeout,
    SqliteQueue,
    TaskCanceled,
    TaskException,
    TaskLocked,
    Unique,
)


@pytest.fixture(params=["memory", "sqlite"])
def queue(request: Any, tmp_path: pathlib.Path) -> Iterator[Queue]:
    made: Queue = (
        SqliteQueue("q", tmp_path / "q.db")
        if request.param == "sqlite"
        else MemoryQueue("q")
    )
    yield made
    made.close()


# ---- cancel, pause, revoke ----


def test_a_task_that_waits_is_canceled(queue: Queue) -> None:
    @queue.task()
    def work() -> int:
        return 1

    result, other = work(), work()
    assert result.cancel("not wanted")
    assert not result.cancel()
    with pytest.raises(TaskCanceled, match="not wanted"):
        result(*WAIT)
    queue.start()
    assert other(*WAIT) == 1
    assert not other.revoke()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_task_that_runs_is_interrupted(queue: Queue, is_async: bool) -> None:
    began = threading.Event()
    seen: list[str] = []
    queue.signal()(lambda signal, task, *a: seen.append(signal))

    @queue.task(retries=3)
    def spin() -> None:
        began.set()
        while True:
            time.sleep(0.001)

    @queue.task(retries=3)
    async def sleep() -> None:
        began.set()
        await asyncio.sleep(60)

    result = sleep() if is_async else spin()
    queue.start()
    assert began.wait(10)
    assert asyncio.run(result.acancel("enough"))
    with pytest.raises(TaskCanceled):
        result(*WAIT)
    queue.stop()
    assert seen == ["enqueued", "executing", "canceled"]


def test_a_paused_queue_runs_nothing(queue: Queue) -> None:
    @queue.task()
    def work() -> int:
        return 1

    queue.pause()
    assert queue.is_paused
    result = work()
    queue.start()
    with pytest.raises(ResultTimeout):
        result(True, 0.1)
    asyncio.run(queue.call(queue.resume))
    assert result(*WAIT) == 1
    assert not queue.is_paused


def test_a_task_function_is_revoked_and_restored(queue: Queue) -> None:
    @queue.task()
    def work() -> int:
        return 1

    work.revoke(once=True)
    assert work.is_revoked()
    first, second = work(), work()
    queue.start()
    with pytest.raises(TaskCanceled):
        first(*WAIT)
    assert second(*WAIT) == 1
    assert not work.is_revoked()
    work.revoke(until=dt.timedelta(hours=1))
    with pytest.raises(TaskCanceled):
        work()(*WAIT)
    assert work.restore()
    assert not work.restore()
    assert work()(*WAIT) == 1
    work.revoke(until=dt.datetime(2020, 1, 1))
    assert not work.is_revoked()


def test_a_task_is_rescheduled(queue: Queue) -> None:
    @queue.task()
    def work(a: int) -> int:
        return a

    result = work(5)
    later = result.reschedule(delay=60)
    again = later.reschedule()
    queue.start()
    assert again(*WAIT) == 5
    for old in (result, later):
        with pytest.raises(TaskCanceled):
            old(*WAIT)
    with pytest.raises(QueueError):
        queue.result(result.id).reschedule()


# ---- unique keys ----


def test_a_unique_task_is_enqueued_once(queue: Queue) -> None:
    @queue.task(unique=True)
    def work(a: int) -> int:
        return a

    first, again, other = work(1), work(1), work(2)
    assert again.id == first.id != other.id
    assert (first.existed, again.existed, other.existed) == (False, True, False)
    queue.start()
    assert again(*WAIT) == 1
    third = work(1)
    assert third.id != first.id and not third.existed


@pytest.mark.parametrize(
    "unique",
    [
        "user-{user}",
        lambda user, **_: f"user-{user}",
        Unique("user-{user}", ttl=60, until="time"),
    ],
)
def test_a_unique_key_is_of_the_users_making(queue: Queue, unique: Any) -> None:
    @queue.task(unique=unique)
    def work(user: int, text: str = "") -> str:
        return text

    assert work(1, text="a").id == work(1, text="b").id
    assert work(2).id != work(1).id
    many = queue.enqueue_many([work.s(3), work.s(3), work.s(4)])
    assert [r.existed for r in many] == [False, True, False]
    assert asyncio.run(work.aenqueue(4)).existed


def test_a_later_call_replaces_the_one_that_waits(queue: Queue) -> None:
    @queue.task(unique=Unique("k", replace=True))
    def work(text: str) -> str:
        return text

    first = work("old")
    assert work("new").id == first.id
    queue.start()
    assert first(*WAIT) == "new"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Unique(until="time"),
        lambda: Unique(until="ever"),  # type: ignore[arg-type]
        lambda: Unique(ttl=0),
        lambda: Limit(),
        lambda: Limit(rate="often"),
        lambda: Limit(rate="0/s"),
        lambda: Limit(rate=(5, 0)),
        lambda: Limit(concurrency=-1),
        lambda: MemoryQueue().task(limits=[Limit("a", 1)] * 3)(print),
        lambda: MemoryQueue().task(retry_jitter=2)(print),
        lambda: MemoryQueue().periodic_task("@daily", unique=True)(print),
    ],
)
def test_rules_that_cannot_be_are_errors(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError):
        make()


# ---- limits ----


def test_so_many_of_a_key_run_at_a_time(queue: Queue) -> None:
    running, most = [0], [0]
    guard = threading.Lock()

    @queue.task(limits=[Limit("tenant-{tenant}", concurrency=1)])
    def work(tenant: int) -> int:
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with guard:
            running[0] -= 1
        return tenant

    results = [work(1) for _ in range(6)]
    queue.start(4)
    assert [r(*WAIT) for r in results] == [1] * 6
    assert most[0] == 1


def test_tasks_start_no_sooner_than_their_rate(queue: Queue) -> None:
    starts: list[float] = []

    @queue.task(rate_limit=(1, 0.1))
    def work() -> None:
        starts.append(time.monotonic())

    results = [work() for _ in range(3)]
    queue.start(3)
    for result in results:
        result.get(*WAIT)
    assert starts[2] - starts[0] > 0.15


def test_a_rate_limit_within_a_task_puts_it_off(queue: Queue) -> None:
    limit = queue.rate_limit("api", 1, per=0.3)
    seen: list[str] = []
    queue.signal("rate-limited")(lambda signal, task, *a: seen.append(signal))

    @queue.task()
    @limit
    def work() -> int:
        return 1

    results = [work(), work()]
    queue.start()
    assert [r(*WAIT) for r in results] == [1, 1]
    queue.stop()
    assert len(seen) <= 3
    limit.reset()
    assert limit.current_usage() == 0
    with limit, pytest.raises(RateLimitExceeded) as caught:
        limit.acquire()
    assert 0 < caught.value.delay <= 0.3


# ---- locks ----


def test_a_lock_has_one_holder(queue: Queue) -> None:
    lock = queue.lock("x", lease=5)
    with lock:
        assert lock.is_locked() and queue.is_locked("x")
        token = lock.token
        assert not queue.lock("x").acquire(timeout=0.02)
        with pytest.raises(TaskLocked):
            with queue.lock_task("x"):
                pass
        with pytest.raises(RuntimeError):
            lock.acquire()
    assert not lock.is_locked()
    with queue.lock("x", timeout=0) as again:
        assert again.token > token
        assert queue.flush_locks("x", "y") == {"x"}
    assert not again.release()


def test_who_waits_for_a_lock_is_told(queue: Queue) -> None:
    order: list[str] = []
    lock = queue.lock("x")
    lock.acquire()

    def wait() -> None:
        with queue.lock("x"):
            order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("first")
    lock.release()
    thread.join(10)
    assert order == ["first", "second"]


def test_a_semaphore_has_slots_and_awaits(queue: Queue) -> None:
    async def main() -> None:
        async with queue.lock("s", slots=2), queue.lock("s", slots=2) as second:
            assert second.holders() == 2
            with pytest.raises(TaskLocked):
                async with queue.lock("s", slots=2, timeout=0):
                    pass

        @queue.lock("s")
        async def within() -> bool:
            return queue.is_locked("s")

        assert await within()

    asyncio.run(main())


def test_a_lease_is_renewed_while_it_is_held(queue: Queue) -> None:
    with queue.lock("x", lease=0.6):
        assert not queue.lock("x").acquire(timeout=1.5)


def test_a_locked_task_is_retried(queue: Queue) -> None:
    seen: list[str] = []
    queue.signal("locked")(lambda signal, task, *a: seen.append(signal))

    @queue.task(retries=1)
    @queue.lock_task("only")
    def work() -> int:
        return 1

    lock = queue.lock("only")
    lock.acquire()
    result = work()
    queue.start()
    with pytest.raises(TaskException, match="TaskLocked"):
        result(*WAIT)
    lock.release()
    assert work()(*WAIT) == 1
    queue.stop()
    assert seen == ["locked", "locked"]


# ---- keys and values ----


def test_values_are_kept_beside_the_tasks(queue: Queue) -> None:
    queue.put("a", {"x": (1, 2)})
    assert queue.get("a") == {"x": (1, 2)}
    assert queue.get("b", 7) == 7
    assert not queue.put_if_empty("a", 1)
    assert queue.put_if_empty("b", 2, ttl=60)
    assert queue.get("b", take=True) == 2
    assert queue.get("b") is None
    assert queue.delete("a") and not queue.delete("a")
    assert queue.incr("n") == 1
    assert queue.incr("n", 5) == 6
    with pytest.raises(ValueError):
        queue.put("a", 1, ttl=0)


def test_a_value_is_waited_for(queue: Queue) -> None:
    thread = threading.Timer(0.02, queue.put, ("late", 1))
    thread.start()
    assert queue.get("late", timeout=DEADLINE_S) == 1
    thread.join()


def test_values_are_sealed_as_the_queue_is() -> None:
    queue = MemoryQueue("q", secret="key")
    queue.put("a", 1)
    assert queue.get("a") == 1
    queue.close()


# ---- schedules ----


def test_schedules_are_made_changed_and_removed_at_run_time(
    queue: Queue,
) -> None:
    ran = threading.Event()

    @queue.task()
    def work(text: str) -> str:
        ran.set()
        return text

    queue.add_schedule("often", "every 50 ms", work.s("x"))
    queue.add_schedule(
        "daily", Crontab("30 2 * * *", "Europe/Berlin"), work.s("y"),
        is_paused=True,
    )
    queue.start()
    assert ran.wait(10)
    daily, often = sorted(queue.schedules(), key=lambda row: row["name"])
    assert often["task"] == work.name
    assert often["last"] is not None and often["next"] > often["last"]
    assert daily["is_paused"] and daily["is_run_time"]
    assert (daily["zone"], daily["catch_up"]) == ("Europe/Berlin", "skip")
    assert queue.resume_schedule("daily") and queue.pause_schedule("often")
    assert not queue.pause_schedule("nothing")
    assert queue.remove_schedule("often") and not queue.remove_schedule("often")
    assert [row["name"] for row in queue.schedules()] == ["daily"]
    with pytest.raises(ValueError):
        queue.add_schedule("bad", "61 * * * *", work.s("x"))
    with pytest.raises(ValueError):
        queue.add_schedule("bad", "@daily", work.s("x"), catch_up="never")


def test_delays_have_jitter_and_a_cap(queue: Queue) -> None:
    runs: list[float] = []

    @queue.task(
        retries=3, retry_delay=0.05, retry_backoff=10, retry_delay_max=0.06,
        retry_jitter=0.5,
    )
    def work() -> None:
        runs.append(time.monotonic())
        raise ValueError("no")

    result = work()
    queue.start()
    with pytest.raises(TaskException):
        result(*WAIT)
    assert len(runs) == 4
    assert all(0.02 < b - a < 2 for a, b in zip(runs, runs[1:], strict=False))
