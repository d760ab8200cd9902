"""Immediate mode: the whole face of a queue, without store or worker."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import Any

import pytest

from guaco.queue import (
    SIGNAL_CANCELED,
    SIGNAL_COMPLETE,
    SIGNAL_ENQUEUED,
    SIGNAL_ERROR,
    SIGNAL_EXECUTING,
    SIGNAL_RETRYING,
    CancelExecution,
    Event,
    MemoryQueue,
    Queue,
    QueueError,
    Result,
    ResultTimeout,
    RetryTask,
    Task,
    TaskCanceled,
    TaskException,
    TaskWrapper,
    crontab,
    current_task,
)


@pytest.fixture
def queue() -> Queue:
    return MemoryQueue("test", immediate=True)


def test_a_call_runs_at_once_and_gives_its_result(queue: Queue) -> None:
    @queue.task()
    def add(a: int, b: int = 1) -> int:
        return a + b

    result = add(1, b=2)
    assert isinstance(result, Result)
    assert result() == 3
    assert result(blocking=True, timeout=0) == 3
    assert result.get() == 3
    assert result.is_ready()
    assert add.call_local(3, 4) == 7


def test_the_decorator_works_without_parentheses(queue: Queue) -> None:
    @queue.task
    def double(n: int) -> int:
        """Twice n."""
        return 2 * n

    assert double(4)() == 8
    assert double.__doc__ == "Twice n."
    assert double.__name__ == "double"


def test_immediate_is_switched_as_the_seed_says(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    queue = Queue("switched")

    @queue.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    queue.immediate = True
    before = add(1, 2)
    assert before() == 3
    assert list(tmp_path.iterdir()) == []  # in memory
    queue.immediate = False
    after = add(1, 2)
    assert after() is None  # it waits in the store
    assert queue.pending_count() == 1
    assert before() == 3  # what was read is kept by its handle
    queue.close()


def test_a_failed_task_raises_where_its_result_is_read(queue: Queue) -> None:
    @queue.task()
    def fail() -> None:
        raise KeyError("why")

    result = fail()
    with pytest.raises(TaskException) as info:
        result()
    assert str(info.value) == "KeyError('why')"
    text = info.value.metadata["traceback"]
    assert "raise KeyError" in text
    assert "_queue_run" not in text  # our own frames are left out
    assert info.value.metadata["task_id"] == result.id


def test_arguments_that_cannot_be_stored_fail_at_the_call(queue: Queue) -> None:
    @queue.task()
    def take(value: object) -> None:
        pass

    with pytest.raises(TypeError, match='serializer="pickle"'):
        take(object())


def test_a_result_that_cannot_be_stored_fails_the_task(queue: Queue) -> None:
    @queue.task()
    def give() -> object:
        return object()

    with pytest.raises(TaskException, match="TypeError"):
        give()()


def test_sys_exit_ends_the_task_alone(queue: Queue) -> None:
    @queue.task()
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(TaskException, match="SystemExit"):
        leave()()


def test_retries_are_made_and_counted(queue: Queue) -> None:
    seen: list[tuple[int, int]] = []

    @queue.task(retries=2, retry_delay=20)
    def flaky() -> str:
        task = current_task()
        seen.append((task.attempt, task.failures))
        if len(seen) < 3:
            raise OSError
        return "done"

    assert flaky()() == "done"
    assert seen == [(1, 0), (2, 1), (3, 2)]
    seen[:] = [(0, 0)] * 2
    assert flaky.schedule(retries=0)() == "done"


def test_retry_task_uses_no_retry_up(queue: Queue) -> None:
    count = 0

    @queue.task()
    def again() -> int:
        nonlocal count
        count += 1
        if count < 4:
            raise RetryTask("once more")
        return count

    assert again()() == 4


@pytest.mark.parametrize(
    ("retry", "retries", "runs"),
    [(None, 0, 1), (None, 2, 3), (False, 2, 1), (True, 0, 2)],
)
def test_cancel_execution_as_huey_has_it(
    queue: Queue, retry: bool | None, retries: int, runs: int
) -> None:
    count = 0

    @queue.task(retries=retries)
    def cancel() -> None:
        nonlocal count
        count += 1
        raise CancelExecution("no", retry if count < 2 else None)

    with pytest.raises(TaskException):
        cancel()()
    assert count == runs
    if runs == 1:
        with pytest.raises(TaskCanceled):
            cancel()()


def test_context_gives_the_task_and_current_task_too(queue: Queue) -> None:
    @queue.task(context=True)
    def which(n: int, task: Task | None = None) -> list[Any]:
        assert task is current_task()
        assert task is not None
        return [n, task.id, task.attempt, task.time_remaining, str(task.name)]

    result = which(5)
    assert result() == [5, result.id, 1, float("inf"), which.name]
    with pytest.raises(LookupError):
        current_task()


def test_events_come_in_order_and_end_with_the_end(queue: Queue) -> None:
    @queue.task()
    def work() -> str:
        current_task().progress(0.4)
        current_task().progress(0.8, "soon")
        current_task().event("note", {"a": 1})
        return "x"

    result = work()
    expected = [
        Event(1, "progress", 0.4),
        Event(2, "progress", {"value": 0.8, "message": "soon"}),
        Event(3, "note", {"a": 1}),
        Event(0, "complete", "x"),
    ]
    assert list(result.events()) == expected

    async def read() -> list[Event]:
        return [event async for event in result.events()]

    assert asyncio.run(read()) == expected


def test_a_delayed_task_is_kept_and_not_run(queue: Queue) -> None:
    @queue.task()
    def later() -> int:
        return 1

    in_an_hour = dt.datetime.now() + dt.timedelta(hours=1)
    for result in (
        later.schedule(delay=60),
        later.schedule(delay=dt.timedelta(seconds=1)),
        later.schedule(eta=in_an_hour),
    ):
        assert result() is None
        with pytest.raises(ResultTimeout):
            result(blocking=True, timeout=0)
    assert later.schedule(delay=-5)() == 1
    assert later.schedule()() == 1
    with pytest.raises(ValueError, match="not both"):
        later.schedule(eta=in_an_hour, delay=1)


def test_map_enqueues_one_for_each(queue: Queue) -> None:
    @queue.task()
    def add(a: int, b: int = 10) -> int:
        return a + b

    assert [r() for r in add.map([1, (2, 3)])] == [11, 5]
    assert len(add.map([])) == 0


# ---- coroutines ------------------------------------------------------------


def test_a_coroutine_function_is_a_task(queue: Queue) -> None:
    @queue.task()
    async def slow(n: int) -> int:
        await asyncio.sleep(0)
        return current_task().id * 100 + n

    result = slow(7)
    assert result() == result.id * 100 + 7

    async def main() -> list[int]:
        first = await slow.aenqueue(1)
        second = slow(2)  # runs on a thread of its own
        values = [await first, await second]
        return [value % 100 for value in values]

    assert asyncio.run(main()) == [1, 2]


# ---- hooks and signals -----------------------------------------------------


def test_hooks_run_around_a_task(queue: Queue) -> None:
    calls: list[Any] = []

    @queue.pre_execute()
    def before(task: Task) -> None:
        calls.append(("before", task.args))

    @queue.post_execute()
    def after(task: Task, value: Any, exc: BaseException | None) -> None:
        calls.append(("after", value, type(exc)))

    @queue.pre_execute(name="bad")
    def bad(task: Task) -> None:
        raise RuntimeError("is logged, stops nothing")

    @queue.task()
    def half(n: int) -> float:
        return 1 / n

    assert half(2)() == 0.5
    half(0)
    assert calls == [
        ("before", (2,)),
        ("after", 0.5, type(None)),
        ("before", (0,)),
        ("after", None, ZeroDivisionError),
    ]
    assert queue.remove_hook("bad")
    assert queue.remove_hook(after)
    assert not queue.remove_hook(after)


def test_a_pre_execute_hook_may_cancel(queue: Queue) -> None:
    @queue.pre_execute()
    def never(task: Task) -> None:
        raise CancelExecution("closed today")

    @queue.task()
    def work() -> int:
        raise AssertionError("must not run")

    with pytest.raises(TaskCanceled, match="closed today"):
        work()()


def test_signals_tell_what_happens(queue: Queue) -> None:
    seen: list[str] = []
    errors: list[BaseException] = []

    @queue.signal()
    def everything(signal: str, task: Task, *args: Any) -> None:
        seen.append(signal)

    @queue.signal(SIGNAL_ERROR)
    def failed(signal: str, task: Task, exc: BaseException) -> None:
        errors.append(exc)

    @queue.task()
    def good() -> None:
        pass

    @queue.task(retries=1)
    def fails() -> None:
        raise OSError("x")

    @queue.task()
    def gives_up() -> None:
        raise CancelExecution

    good()
    fails()
    gives_up()
    assert seen == [
        SIGNAL_EXECUTING,
        SIGNAL_COMPLETE,
        SIGNAL_ENQUEUED,
        SIGNAL_EXECUTING,
        SIGNAL_ERROR,
        SIGNAL_RETRYING,
        SIGNAL_EXECUTING,
        SIGNAL_ERROR,
        SIGNAL_ENQUEUED,
        SIGNAL_EXECUTING,
        SIGNAL_CANCELED,
        SIGNAL_ENQUEUED,
    ]
    assert [str(e) for e in errors] == ["x", "x"]
    queue.disconnect_signal(everything)
    good()
    assert len(seen) == 12


def test_a_receiver_that_raises_stops_no_other(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    @queue.signal(SIGNAL_COMPLETE)
    def bad(signal: str, task: Task) -> None:
        raise RuntimeError("receiver")

    @queue.signal(SIGNAL_COMPLETE)
    def good(signal: str, task: Task) -> None:
        seen.append(signal)

    @queue.task()
    def work() -> int:
        return 1

    with caplog.at_level(logging.ERROR):
        assert work()() == 1
    assert seen == [SIGNAL_COMPLETE]
    assert "receiver" in caplog.text


# ---- registering -----------------------------------------------------------


def test_a_name_is_given_once(queue: Queue) -> None:
    @queue.task()
    def work() -> None:
        pass

    with pytest.raises(ValueError, match="registered already"):
        queue.task(name="work")(lambda: None)
    assert queue.tasks == [work]
    assert work.unregister()
    assert not work.unregister()
    again = queue.task()(work)  # a wrapper stands for its function
    assert again.func is work.func
    with pytest.raises(QueueError, match="no task"):
        queue.registered("nothing")


def test_one_function_on_two_queues(queue: Queue) -> None:
    other = MemoryQueue("other", immediate=True)

    def work() -> str:
        return "x"

    assert queue.task()(work)()() == other.task()(work)()() == "x"


@pytest.mark.parametrize(
    "settings",
    [
        {"retries": -1},
        {"retry_delay": -1},
        {"retry_backoff": 0.5},
        {"timeout": dt.timedelta(days=100)},
        {"nonsense": 1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(
    queue: Queue, settings: dict[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        queue.task(**settings)(lambda: None)


def test_periodic_tasks_are_checked_where_they_are_defined(
    queue: Queue,
) -> None:
    @queue.periodic_task(crontab(minute="1"))
    def nightly() -> str:
        return "done"

    @queue.periodic_task("30 2 * * mon", zone="Europe/Berlin", catch_up="once")
    def weekly() -> None:
        pass

    assert nightly.spec == "all 1 * * * *"
    assert (weekly.zone, weekly.catch_up) == ("Europe/Berlin", 2)
    assert nightly()() == "done"
    with pytest.raises(ValueError):
        queue.periodic_task("61 * * * *")
    with pytest.raises(ValueError):
        queue.periodic_task("@daily", zone="Nowhere/Land")
    with pytest.raises(ValueError, match="catch_up"):
        queue.periodic_task("@daily", catch_up="sometimes")


def test_crontab_reads_as_huey_and_answers_when() -> None:
    hourly = crontab(minute="1")
    assert hourly(dt.datetime(2026, 11, 23, 5, 1, 30))
    assert not hourly(dt.datetime(2026, 11, 23, 5, 2))
    after = dt.datetime(2026, 11, 23, 5, 1, tzinfo=dt.timezone.utc)
    assert hourly.next(after) == after + dt.timedelta(hours=1)
    # both day and weekday must match, as in Huey
    friday_13 = crontab(minute=0, hour=0, day=13, day_of_week=5)
    assert friday_13(dt.datetime(2026, 11, 13))
    assert not friday_13(dt.datetime(2026, 12, 13))
    with pytest.raises(ValueError):
        crontab(minute="x", strict=True)


# ---- subclassing -----------------------------------------------------------


class LoggingQueue(Queue):
    """The seed's super() chapter: a mix-in that logs and passes on."""

    seen: list[str]

    def enqueue(self, task: Task) -> Any:
        logging.warning("enqueue %s", task.name)
        return super().enqueue(task)

    async def aenqueue(self, task: Task) -> Any:
        logging.warning("aenqueue %s", task.name)
        return await super().aenqueue(task)

    def execute(self, task: Task) -> Any:
        logging.warning("execute %s", task.name)
        return super().execute(task)


class LoggingMemoryQueue(LoggingQueue, MemoryQueue):
    pass


def test_overriding_enqueue_and_calling_super_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = LoggingMemoryQueue("logging", immediate=True)

    @queue.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    async def main() -> int:
        return await (await add.aenqueue(3, 4))

    with caplog.at_level(logging.WARNING):
        assert add(1, 2)() == 3
        assert add.schedule((1, 2))() == 3
        assert [r() for r in add.map([(1, 1)])] == [2]
        assert asyncio.run(main()) == 7
    words = [record.getMessage().split()[0] for record in caplog.records]
    assert words == ["enqueue", "execute"] * 3 + ["aenqueue", "execute"]


def test_the_classes_that_a_queue_makes_can_be_replaced() -> None:
    class MyResult(Result[Any]):
        def get(self, blocking: bool = False, timeout: Any = None) -> Any:
            return ("mine", super().get(blocking, timeout))

    class MyWrapper(TaskWrapper[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs)

    class MyQueue(MemoryQueue):
        wrapper_class = MyWrapper
        result_class = MyResult

    queue = MyQueue("mine", immediate=True)
    work = queue.task(lambda: 1)
    assert isinstance(work, MyWrapper)
    assert work()() == ("mine", 1)


# ---- without results, other serializers ------------------------------------


def test_a_queue_without_results_gives_none() -> None:
    queue = MemoryQueue("quiet", results=False, immediate=True)
    assert queue.task(lambda: 1)() is None


def test_pickle_is_by_choice_and_wants_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GUACO_SECRET_KEY", raising=False)
    with pytest.raises(ValueError, match="GUACO_SECRET_KEY"):
        MemoryQueue(serializer="pickle")
    with pytest.raises(ValueError, match="typed or pickle"):
        MemoryQueue(serializer="json")
    monkeypatch.setenv("GUACO_SECRET_KEY", "s3cret")
    queue = MemoryQueue(serializer="pickle", immediate=True)
    assert queue.task(lambda x: x)(range(3))() == range(3)


def test_a_serializer_of_your_own_is_used() -> None:
    class Repr:
        def encode(self, value: object, /) -> bytes:
            return repr(value).encode()

        def decode(self, data: bytes, /) -> Any:
            return eval(data)

    queue = MemoryQueue(serializer=Repr(), immediate=True)
    assert queue.task(lambda x: x)((1, [2]))() == (1, [2])


def test_a_queue_in_immediate_mode_has_no_workers(queue: Queue) -> None:
    with pytest.raises(QueueError, match="immediate"):
        queue.start()
    assert queue  # and is no empty container
