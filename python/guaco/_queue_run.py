"""One run of a task: from the store's record to its outcome.

The order is: decode, signal executing, pre_execute hooks, the function,
outcome to the store, post_execute hooks, signal of how it ended.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import traceback
import types
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from guaco import _queue_signals as signals
from guaco import trace
from guaco._core import PayloadError, own_pid
from guaco._queue_compose import apply_extra
from guaco._queue_errors import (
    CancelExecution,
    QueueError,
    RateLimitExceeded,
    RetryTask,
    TaskLocked,
    TaskTimeout,
)
from guaco._queue_task import Task, _current, seconds
from guaco._queue_using import COMMITTED, NONE

if TYPE_CHECKING:
    from guaco.queue import Queue

log = logging.getLogger("guaco.queue")

# enum guaco_outcome_kind
DONE, FAILED, RETRY, CANCELED, RELEASED = 1, 2, 3, 4, 5

CANCELED_WHY = -10  # GUACO_E_STATE

EXIT_CHILD = 1

TRACEBACK_MAX = 32 * 1024
"""Characters of a traceback that are stored; its end is kept."""


class AnyRun(Protocol):
    """What a run is: a worker's, or one of immediate mode."""

    @property
    def id(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def retries_left(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def headers(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def interrupted(self) -> bool: ...
    @property
    def why(self) -> int: ...
    @property
    def members(self) -> int: ...
    @property
    def completion(self) -> int: ...
    def remaining_ms(self) -> int | None: ...
    def event(self, body: bytes, /) -> None: ...
    def complete(
        self,
        connection: Any,
        commits: bool,
        body: bytes | None,
        follow: tuple[tuple[Any, ...], ...] | None,
        /,
    ) -> None: ...
    def finish(
        self,
        kind: int,
        body: bytes | None = None,
        retry_delay_ms: int = -1,
        follow: tuple[tuple[Any, ...], ...] | None = None,
        pass_on: bool = False,
        /,
    ) -> bool: ...


def load(queue: Queue, run: AnyRun) -> Task:
    """The task of run; raises what is wrong with its record."""
    wrapper = queue.registered(run.name)
    args, kwargs, *extra = queue._unpack(run.body, "task", run.name)
    task = wrapper.task_class(wrapper, tuple(args), kwargs)
    task.id = run.id
    if extra:
        apply_extra(queue, task, extra[0])
    if task.gathers:
        task.args = (*task.args, queue._gathered(run))
    task.attempt = run.attempt
    task.failures = run.failures
    task._run = run
    if headers := run.headers:
        carried = queue._unpack(headers, "headers", run.name)
        if not isinstance(carried, dict):
            raise PayloadError("not a payload: headers are a dict")
        task.headers = carried
    return task


def done_of(
    queue: Queue, task: Task, value: Any
) -> tuple[bytes | None, tuple[tuple[Any, ...], ...] | None]:
    """The body of a result and the tasks that follow it, as a store has them."""
    body = follow = None
    if queue.results or task.is_member:
        body = queue._pack(value, "result", task.id)
    if task.on_complete is not None:
        following = task.on_complete
        following.extend(value)
        follow = (queue._record(following),)
    return body, follow


def interruption(run: AnyRun, label: str) -> Exception:
    """What a run that was told to end has raised in it."""
    if run.why == CANCELED_WHY:
        return CancelExecution("the task was canceled")
    return TaskTimeout(f"timeout of {label}")


def describe(exc: BaseException, task_id: int, retries: int) -> dict[str, Any]:
    """The metadata of a TaskException, as data."""
    told = traceback.TracebackException(type(exc), exc, _own_frames(exc))
    text = "".join(told.format())
    return {
        "error": _repr(exc),
        "traceback": text[-TRACEBACK_MAX:],
        "retries": retries,
        "task_id": task_id,
    }


def _own_frames(exc: BaseException) -> types.TracebackType | None:
    """The traceback from the task's function on, without ours above it."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_next is not None:
        if not tb.tb_frame.f_globals.get("__name__", "").startswith("guaco."):
            break
        tb = tb.tb_next
    return tb


def _repr(exc: BaseException) -> str:
    try:
        return repr(exc)[:1000]
    except Exception:
        return f"{type(exc).__name__}()"


def retry_delay_ms(exc: RetryTask) -> int:
    """When it asked to be run again, from now; -1: by the task's rules."""
    if exc.delay is not None:
        return max(0, round(seconds(exc.delay) * 1000))
    if exc.eta is not None:
        eta = exc.eta if exc.eta.tzinfo else exc.eta.astimezone()
        left = eta - dt.datetime.now(dt.timezone.utc)
        return max(0, round(left.total_seconds() * 1000))
    return -1


class Execution:
    """A run from its begin to its end, for workers of every kind."""

    __slots__ = ("queue", "run", "task", "_token", "_traced")

    def __init__(self, queue: Queue, run: AnyRun) -> None:
        self.queue = queue
        self.run = run
        self.task: Task | None = None

    def begin(self) -> Task | None:
        """The task to run, as current_task(); None: the run is over."""
        try:
            task = self.task = load(self.queue, self.run)
        except Exception as exc:
            log.error("task %s (%d): %s", self.run.name, self.run.id, exc)
            self._finish_failed(exc)
            return None
        self._token = _current.set(task)
        self._traced = trace.Entered(task.headers)
        self.queue._signals.send(signals.SIGNAL_EXECUTING, task)
        try:
            self.queue._call_hooks(self.queue._pre_execute, task)
        except CancelExecution as exc:
            self.end(None, exc)
            return None
        return task

    def end(self, value: Any, exc: BaseException | None) -> None:
        """Store how it went, then tell hooks and signals."""
        task = self.task
        assert task is not None
        if self.run.completion != NONE:
            exc = self._look_at_completion(task, exc)
        retried = self._store(value, exc)
        queue = self.queue
        if queue._post_execute:
            queue._call_hooks(queue._post_execute, task, value, exc)
        if not queue._signals.is_empty:
            self._send(task, exc, retried)
        self._leave(task)

    def _look_at_completion(
        self, task: Task, exc: BaseException | None
    ) -> BaseException | None:
        """What the run ended with, whose function said that it is done."""
        if self.run.completion != COMMITTED:
            return exc or QueueError(
                "complete() was called, and its transaction was not committed "
                "when the task returned"
            )
        if exc is not None:
            log.error("%r is done: complete() was committed; then it raised",
                      task, exc_info=exc)
        return None

    def _leave(self, task: Task) -> None:
        task._run = None
        self._traced.leave()
        _current.reset(self._token)

    def interrupt(self, exc: BaseException) -> None:
        """The worker ends, not the task: another one takes it."""
        task = self.task
        assert task is not None
        self.run.finish(RELEASED)
        self.queue._call_hooks(self.queue._post_execute, task, None, exc)
        self.queue._signals.send(signals.SIGNAL_INTERRUPTED, task)
        self._leave(task)

    def _send(self, task: Task, exc: BaseException | None, retried: bool) -> None:
        send = self.queue._signals.send
        match exc:
            case None:
                send(signals.SIGNAL_COMPLETE, task)
            case CancelExecution():
                send(signals.SIGNAL_CANCELED, task)
            case TaskTimeout():
                send(signals.SIGNAL_TIMEOUT, task)
            case RetryTask():
                pass
            case TaskLocked():
                send(signals.SIGNAL_LOCKED, task)
            case RateLimitExceeded():
                send(signals.SIGNAL_RATE_LIMITED, task)
            case _:
                send(signals.SIGNAL_ERROR, task, exc)
        if retried:
            send(signals.SIGNAL_RETRYING, task)

    def _store(self, value: Any, exc: BaseException | None) -> bool:
        """Give the outcome to the store; whether the task runs again."""
        if exc is None and self.run.completion == COMMITTED:
            # It is stored; what a savepoint took back is to be run again.
            return self.run.finish(RELEASED) and False
        match exc:
            case None:
                return self._finish_done(value)
            case RetryTask():
                body = self._error_body(exc)
                return self.run.finish(RETRY, body, retry_delay_ms(exc))
            case RateLimitExceeded() if exc.retry:
                body = self._error_body(exc)
                delay = max(1, round(exc.delay * 1000))
                return self.run.finish(RETRY, body, delay)
            case CancelExecution():
                return self._finish_canceled(exc)
            case _:
                return self._finish_failed(exc)

    def _finish_done(self, value: Any) -> bool:
        task = self.task
        assert task is not None
        try:
            body, follow = done_of(self.queue, task, value)
        except Exception as exc:
            log.error("%r: its result: %s", task, exc)
            return self._finish_failed(exc)
        if follow is None:
            return self.run.finish(DONE, body)
        return self.run.finish(DONE, body, -1, follow, True)

    def _on_error(self, exc: BaseException) -> tuple[tuple[Any, ...], ...] | None:
        """The task that is to run if this failure is the last."""
        if self.task is None or self.task.on_error is None:
            return None
        handler = self.task.on_error
        try:
            handler.extend((exc,))
            return (self.queue._record(handler),)
        except Exception:
            log.exception("%r: its error handler", self.task)
            return None

    def _finish_failed(self, exc: BaseException) -> bool:
        left = self.run.retries_left
        if self.task is not None:
            level = logging.INFO if left else logging.ERROR
            log.log(level, "%r failed, %d retries left", self.task, left,
                    exc_info=exc)
        body = self._error_body(exc)
        return self.run.finish(FAILED, body, -1, self._on_error(exc))

    def _finish_canceled(self, exc: CancelExecution) -> bool:
        left = self.run.retries_left
        body = self._error_body(exc)
        if exc.retry is False or (exc.retry is None and left == 0):
            return self.run.finish(CANCELED, body)
        return self.run.finish(FAILED if left else RETRY, body)

    def _error_body(self, exc: BaseException) -> bytes | None:
        is_member = self.task is not None and self.task.is_member
        if not self.queue.results and not is_member:
            return None
        data = describe(exc, self.run.id, self.run.retries_left)
        return self.queue._pack(data, "result", self.run.id)


def perform(
    queue: Queue,
    run: AnyRun,
    await_it: Callable[[Coroutine[Any, Any, Any]], Any],
    *,
    is_callers: bool = False,
) -> None:
    """Run a task on this thread; await_it runs a coroutine to its end.

    Returns when the outcome was handed to the store.  What a task raises ends
    the task alone, sys.exit() and KeyboardInterrupt too; but on a caller's own
    thread (is_callers) KeyboardInterrupt is the caller's, and is raised.
    """
    execution = Execution(queue, run)
    task = execution.begin()
    if task is None:
        return
    value: Any = None
    error: BaseException | None = None
    try:
        value = (
            queue.execute(task)
            if is_callers
            else in_this_process(queue.execute, task)
        )
        if task.wrapper.is_async:
            value = await_it(value)
    except BaseException as exc:
        error = exc
    if is_callers and isinstance(error, KeyboardInterrupt):
        execution.interrupt(error)
        raise error
    execution.end(value, as_failure(error))


def in_this_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call function.  A child that it forked ends where it would come back:
    it has the worker's stack, but not its other threads."""
    pid = own_pid()
    try:
        return function(*args)
    finally:
        if own_pid() != pid:
            os._exit(EXIT_CHILD)


def as_failure(exc: BaseException | None) -> BaseException | None:
    """CancelledError means that the worker stops; a task's own does not."""
    if isinstance(exc, asyncio.CancelledError):
        own = RuntimeError("the task cancelled itself")
        own.__cause__ = exc
        return own
    return exc


def _call(queue: Queue, task: Task) -> tuple[Any, BaseException | None]:
    """A plain function's outcome, as data: futures do not take every
    exception (StopIteration), and a loop ends by some (SystemExit)."""
    try:
        return in_this_process(queue.execute, task), None
    except BaseException as exc:
        return None, as_failure(exc)


def is_cancelled_from_outside() -> bool:
    here = asyncio.current_task()
    return here is not None and here.cancelling() > 0


async def aperform(
    queue: Queue,
    run: AnyRun,
    call: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread,
) -> None:
    """As perform, on an event loop; a plain function is given to `call`."""
    execution = Execution(queue, run)
    task = execution.begin()
    if task is None:
        return
    value: Any = None
    error: BaseException | None = None
    try:
        if task.wrapper.is_async:
            value = await queue.execute(task)
        else:
            value, error = await call(_call, queue, task)
    except asyncio.CancelledError as exc:
        if run.interrupted:
            error = interruption(run, task.wrapper.label)
        elif is_cancelled_from_outside():
            execution.interrupt(exc)  # the worker stops: back to the store
            raise
        else:
            error = as_failure(exc)
    except BaseException as exc:
        error = exc
    execution.end(value, error)
