"""One run of a task, from its message to its end, in Huey's order."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import logging
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from guaco.compat.huey import signals as S
from guaco.compat.huey._result import ChordResult, ResultGroup
from guaco.compat.huey._task import PeriodicTask, Task
from guaco.compat.huey.exceptions import (
    RETRYING_EXCEPTIONS,
    CancelExecution,
    RateLimitExceeded,
    RetryTask,
    TaskException,
    TaskLockedException,
    TaskTimeout,
)
from guaco.compat.huey.utils import (
    SKIPPED,
    ChordConfig,
    Error,
    noop_context,
    normalize_time,
)

if TYPE_CHECKING:
    from guaco.compat.huey._group import chord

logger = logging.getLogger("huey")

Base: Any = object  # what is used of self is in Huey


class Outcome:
    """How a run ended, and what is to follow."""

    def __init__(self) -> None:
        self.value: Any = None
        self.exception: BaseException | None = None
        self.retry_eta: dt.datetime | None = None


class Execution(Base):  # type: ignore[misc]
    """The part of Huey that runs tasks."""

    def _timeout_context(self, task: Task) -> Any:
        if task.timeout and self._timeout_handler is not None:
            return self._timeout_handler(task.timeout)
        return noop_context()

    def execute(self, task: Task, timestamp: dt.datetime | None = None) -> Any:
        """Run task, or put it where it belongs; its value, or None."""
        now = self._get_timestamp() if timestamp is None else timestamp
        if not self.ready_to_run(task, now):
            self.add_schedule(task)
            return None
        if self.is_revoked(task, now, False):
            logger.warning("Task %s was revoked, not executing", task)
            self._emit(S.SIGNAL_REVOKED, task)
            self._abort_chord_member(task, SKIPPED)
            return None
        if task.expires_resolved and task.expires_resolved < now:
            logger.info("Task %s expired, not executing.", task)
            self._emit(S.SIGNAL_EXPIRED, task)
            self._abort_chord_member(task, SKIPPED)
            return None
        logger.info("Executing %s", task)
        self._emit(S.SIGNAL_EXECUTING, task)
        return self._execute(task, now)

    def _execute(self, task: Task, timestamp: dt.datetime) -> Any:
        if self._pre_execute:
            try:
                self._run_pre_execute(task)
            except CancelExecution:
                self._emit(S.SIGNAL_CANCELED, task)
                self._abort_chord_member(task, SKIPPED)
                return None
        outcome = self._call(task, timestamp)
        if outcome is None:
            return None
        exception = outcome.exception
        if not isinstance(task, PeriodicTask):
            self.delete(task.revoke_id)
        is_retry = exception is not None and bool(task.retries)
        is_told = self._store_outcome(task, outcome, is_retry)
        if self._post_execute:
            self._run_post_execute(task, outcome.value, exception)
        if exception is None:
            self._emit(S.SIGNAL_COMPLETE, task)
            if task.on_complete is not None:
                following = task.on_complete
                following.extend_data(outcome.value)
                self.enqueue(following)
            if task.chord_config is not None:
                self._check_chord(task.chord_config, outcome.value)
            return outcome.value
        if task.on_error is not None and is_told:
            handler = self._copy_of(task.on_error)
            handler.extend_data(exception)
            self.enqueue(handler)
        if is_retry:
            self._requeue_task(task, self._get_timestamp(), outcome.retry_eta)
        else:
            self._end_pipeline(task, exception)
        return None

    def _copy_of(self, task: Task) -> Task:
        """A task of its own for each failure that is told."""
        return type(task)(
            task.args,
            dict(task.kwargs),
            eta=task.eta,
            retries=task.retries,
            retry_delay=task.retry_delay,
            retry_backoff=task.retry_backoff,
            priority=task.priority,
            expires=task.expires,
            on_complete=task.on_complete,
            on_error=task.on_error,
            timeout=task.timeout,
            chord_config=task.chord_config,
        )

    # ---- the call ----

    def _call(self, task: Task, timestamp: dt.datetime) -> Outcome | None:
        """Call the function; None when it was interrupted."""
        outcome = Outcome()
        start = time.monotonic()
        if task.timeout:
            task._deadline = start + task.timeout
        self._tasks_in_flight.add(task)
        try:
            with self._timeout_context(task):
                outcome.value = task.execute()
        except KeyboardInterrupt:
            logger.info("Received exit signal, %s did not finish.", task.id)
            self._emit(S.SIGNAL_INTERRUPTED, task)
            task._is_interrupted = True  # type: ignore[attr-defined]
            return None
        except Exception as exc:
            outcome.exception = exc
            self._judge(task, outcome, exc)
        finally:
            self._tasks_in_flight.discard(task)
            task._deadline = None
        if outcome.exception is None:
            took = time.monotonic() - start
            logger.info("%s executed in %0.3fs", task, took)
        return outcome

    def _judge(self, task: Task, outcome: Outcome, exc: Exception) -> None:
        """What an exception means for the retries, and its signal."""
        match exc:
            case TaskTimeout():
                logger.warning("Task %s timed out.", task.id)
                self._emit(S.SIGNAL_TIMEOUT, task)
            case RateLimitExceeded():
                logger.warning("Task %s was rate-limited: %s", task.id, exc)
                if exc.retry:
                    task.retries += 1
                if task.retries:
                    delay = task.retry_delay or exc.delay
                    if delay:
                        outcome.retry_eta = normalize_time(
                            delay=delay, utc=self.utc
                        )
                self._emit(S.SIGNAL_RATE_LIMITED, task)
            case TaskLockedException():
                logger.warning("Task %s not run, %s.", task.id, exc)
                self._emit(S.SIGNAL_LOCKED, task)
            case RetryTask():
                logger.info("Task %s raised RetryTask, retrying.", task.id)
                task.retries += 1
                if exc.eta is not None or exc.delay is not None:
                    outcome.retry_eta = normalize_time(
                        exc.eta, exc.delay, self.utc
                    )
            case CancelExecution():
                if exc.retry:
                    task.retries = max(task.retries, 1)
                elif exc.retry is False:
                    task.retries = 0
                logger.warning("Task %s cancelled (executed).", task.id)
                self._emit(S.SIGNAL_CANCELED, task)
            case _:
                logger.exception("Unhandled exception in task %s.", task.id)
                self._emit(S.SIGNAL_ERROR, task, exc)

    # ---- what comes of it ----

    def _store_outcome(
        self, task: Task, outcome: Outcome, is_retry: bool
    ) -> bool:
        """Store the result; whether a failure is one that others are told."""
        exc = outcome.exception
        if exc is None:
            if self.results and not isinstance(task, PeriodicTask):
                if outcome.value is not None or self.store_none:
                    self.put_result(task.id, outcome.value)
            return False
        if is_retry and isinstance(exc, RETRYING_EXCEPTIONS):
            return False
        is_told = self.store_intermediate_errors or not is_retry
        if self.results and is_told and not isinstance(task, PeriodicTask):
            error = self.build_error_result(task, exc)
            self.put_result(task.id, Error(error))
        return is_told

    def build_error_result(
        self, task: Task, exception: BaseException
    ) -> dict[str, Any]:
        """The metadata that is stored for a failure."""
        error = repr(exception)
        if isinstance(exception, TaskException):
            error = exception.metadata.get("error", error)
        return {
            "error": error,
            "retries": task.retries,
            "traceback": "".join(traceback.format_exception(exception)),
            "task_id": task.id,
        }

    def _end_pipeline(self, task: Task, exc: BaseException) -> None:
        """No retry is left: those who wait for what would have followed are
        told."""
        error: Any = Error(self.build_error_result(task, exc))
        following = task.on_complete
        while following is not None and self.results:
            self.put_result(following.id, error)
            following = following.on_complete
        self._abort_chord_member(task, error)

    def _requeue_task(
        self,
        task: Task,
        timestamp: dt.datetime,
        retry_eta: dt.datetime | None = None,
    ) -> None:
        task.retries -= 1
        logger.info("Requeueing %s, %s retries", task.id, task.retries)
        self._emit(S.SIGNAL_RETRYING, task)
        if retry_eta is not None:
            task.eta = retry_eta
            self.add_schedule(task)
        elif task.retry_delay:
            task.eta = timestamp + dt.timedelta(seconds=task.retry_delay)
            if task.retry_backoff:
                task.retry_delay *= task.retry_backoff
            self.add_schedule(task)
        else:
            self.enqueue(task)

    # ---- chords ----

    def _enqueue_chord(self, chord_obj: chord) -> ChordResult:
        callback = chord_obj.callback
        size = len(chord_obj.tasks)
        config = ChordConfig(callback.create_id(), size, 0, callback)
        members = [
            self._enqueue_chord_member(task, config._replace(idx=idx))
            for idx, task in enumerate(chord_obj.tasks)
        ]
        if not members:
            self.enqueue(self._callback_with(callback, []))
        pipeline = self._pipeline_results(callback)
        return ChordResult(
            ResultGroup(members),
            pipeline[0],
            ResultGroup(pipeline) if len(pipeline) > 1 else None,
        )

    def _enqueue_chord_member(self, task: Any, config: ChordConfig) -> Any:
        """Enqueue a member; the handle of its last task, which has config."""
        is_task = isinstance(task, Task)
        tail: Task = task if is_task else task.callback
        while tail.on_complete is not None:
            tail = tail.on_complete
        tail.chord_config = config
        self.enqueue(task)
        return self._result_handle(tail)

    def _callback_with(self, callback: Task, values: list[Any]) -> Task:
        """The callback with its argument; a chord may be enqueued again."""
        task = copy.copy(callback)
        task.kwargs = dict(callback.kwargs)
        task.extend_data(values)
        return task

    def _pipeline_results(self, task: Task) -> list[Any]:
        results = []
        following: Task | None = task
        while following is not None:
            results.append(self._result_handle(following))
            following = following.on_complete
        return results

    def _abort_chord_member(self, task: Task, value: Any) -> None:
        """A member will have no value: its chord learns it."""
        tail = task
        while tail.chord_config is None:
            if tail.on_complete is None:
                return
            tail = tail.on_complete
        self._check_chord(tail.chord_config, value)

    def _check_chord(self, cc: ChordConfig, value: Any) -> None:
        """Store a member's value; the last one enqueues the callback.

        Whether all are there is read from the values themselves, so that a
        member that runs twice is counted once, and one that died before it
        had told can be run again.
        """
        keys = [f"chord:{cc.cid}:{idx}" for idx in range(cc.size)]
        own, counter = keys[cc.idx], f"chord:{cc.cid}"
        if not self.storage.has_data_for_key(own):
            self.put_result(own, value)
            if self.storage.incr(counter) < cc.size:
                return
        values = self.storage.peek_many(keys)
        if len(values) < cc.size:
            return
        found = [self.serializer.deserialize(values[key]) for key in keys]
        self.enqueue(self._callback_with(cc.callback, found))
        for key in keys:
            self.storage.delete_data(key)
        self.storage.delete_counter(counter)

    # ---- hooks ----

    def _run_pre_execute(self, task: Task) -> None:
        for name, hook in tuple(self._pre_execute.items()):
            self._run_hook(name, hook, task)

    def _run_post_execute(
        self, task: Task, task_value: Any, exception: BaseException | None
    ) -> None:
        for name, hook in tuple(self._post_execute.items()):
            with contextlib.suppress(CancelExecution):
                self._run_hook(name, hook, task, task_value, exception)

    def _run_hook(
        self, name: str, hook: Callable[..., Any], task: Task, *args: Any
    ) -> None:
        """One that raises is logged; CancelExecution passes."""
        try:
            hook(task, *args)
        except CancelExecution:
            logger.warning("Task %s was cancelled by hook %s", task, name)
            raise
        except Exception:
            logger.exception("Unhandled exception calling hook %s for %s",
                             name, task)
