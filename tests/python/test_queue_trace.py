"""The trace context travels from who enqueues to who runs."""

from __future__ import annotations

import asyncio

import pytest
from deadline import WAIT
from guaco import MemoryQueue, trace

ONE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TWO = "00-11111111111111111111111111111111-2222222222222222-00"


def seen() -> str | None:
    return trace.current()


async def aseen() -> str | None:
    await asyncio.sleep(0)
    return trace.current()


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_a_run_has_the_context_of_its_enqueue(kind: str) -> None:
    queue = MemoryQueue("q")
    task, atask = queue.task(seen), queue.task(aseen)

    @queue.task
    def outer() -> int:
        return task().id

    with trace.use(ONE):
        assert trace.current() == ONE
        results = [task(), atask()]
        through = outer()
    without = task()
    with trace.use(TWO):
        other = task()
    queue.start(2, kind=kind)  # type: ignore[arg-type]
    assert [r(*WAIT) for r in results] == [ONE, ONE]
    inner = through(*WAIT)
    assert inner is not None
    assert queue.result(inner)(*WAIT) == ONE
    assert without(*WAIT) is None
    assert other(*WAIT) == TWO
    assert trace.current() is None
    queue.close()


def test_immediate_mode_gives_the_callers_context_back() -> None:
    queue = MemoryQueue("q", immediate=True)
    task = queue.task(seen)
    with trace.use(ONE):
        assert task()() == ONE
        assert trace.current() == ONE
    assert task()() is None


def test_headers_of_a_task_win_and_stay() -> None:
    queue = MemoryQueue("q", immediate=True)

    @queue.task(context=True)
    def mine(task: object = None) -> object:
        return task.headers  # type: ignore[attr-defined]

    call = mine.s()
    call.headers = {"tenant": "7", "traceparent": TWO}
    with trace.use(ONE):
        assert queue.enqueue(call)() == {"tenant": "7", "traceparent": TWO}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "x",
        ONE.upper(),
        ONE + "-more",
        ONE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        ONE.replace("b7ad6b7169203331", "0" * 16),
        "ff" + ONE[2:],
        "0" * 10000,
        b"\xff\xff",
    ],
)
def test_what_is_no_traceparent_is_none(bad: str | bytes | None) -> None:
    with trace.use(ONE), trace.use(bad):
        assert trace.current() is None


def test_a_later_version_may_have_more_fields() -> None:
    later = "01" + ONE[2:] + "-what-comes"
    with trace.use(later.encode()):
        assert trace.current() == later


def test_opentelemetry_sees_the_same_context() -> None:
    api = pytest.importorskip(
        "opentelemetry.trace", reason="opentelemetry-api is not installed"
    )
    queue = MemoryQueue("q")

    @queue.task
    def span() -> str:
        context = api.get_current_span().get_span_context()
        return f"{context.trace_id:032x}"

    @queue.task
    def none() -> bool:
        return bool(api.get_current_span().get_span_context().is_valid)

    here = api.SpanContext(
        int(ONE[3:35], 16), int(ONE[36:52], 16), is_remote=False,
        trace_flags=api.TraceFlags(1),
    )
    with api.use_span(api.NonRecordingSpan(here)):
        assert trace.current() == ONE
        result = span()
    with trace.use(TWO):
        by_us = span()
    without = none()
    queue.start()
    assert result(*WAIT) == ONE[3:35]
    assert by_us(*WAIT) == TWO[3:35]
    assert without(*WAIT) is False
    queue.close()
