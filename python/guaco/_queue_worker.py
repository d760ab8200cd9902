"""Workers inside a process: threads, or tasks of an event loop.

The engine (claims, leases, retries, timeouts' clock, acknowledgements) is
``guaco._core.Worker``; here is what runs Python functions for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from guaco import _core
from guaco._core import Error, Mailbox, Worker, interrupt_thread
from guaco._queue_batch import (
    BatchTask,
    aperform_batch,
    perform_batch,
    size_of,
)
from guaco._queue_errors import CancelExecution, QueueError, TaskTimeout
from guaco._queue_run import (
    CANCELED_WHY,
    RELEASED,
    aperform,
    interruption,
    log,
    perform,
)

if TYPE_CHECKING:
    from guaco._core import Keeper, Run
    from guaco.queue import Queue

Kind = Literal["thread", "async", "greenlet"]
T = TypeVar("T")

# enum guaco__letter_kind
READY, INTERRUPT, STUCK, LOG = 3, 4, 5, 6

# enum guaco__board_kind
IDLE, TASK = 0, 2

ERROR_PAUSE_S = 1.0
"""After an error of the store, before it is asked again."""


PREFETCH = 64
"""Tasks claimed ahead at most; the engine measures how many are too many."""

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


def log_line(level: int, line: str) -> None:
    """What the keeper says; level is an enum guaco_log_level."""
    log.log(LEVELS[level], "%s", line)


def _kind_of(why: int) -> type[Exception]:
    """What is raised in a run that is interrupted."""
    return CancelExecution if why == CANCELED_WHY else TaskTimeout


class Seat:
    """A thread that runs one task at a time, and how to interrupt it.

    ``running`` holds the id of the run, or None.  The monitor's look at it and
    the interruption are one step under the GIL (``interrupt_thread``), so that
    no exception hits the next run.
    """

    def __init__(self, workers: ThreadWorkers) -> None:
        self.workers = workers
        self.running: list[int | None] = [None]
        self.thread_id = 0
        self.is_abandoned = False
        self.thread = threading.current_thread()
        self._runner: asyncio.Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._run: Run | None = None
        self._together: list[Run] = []
        """What runs: one, or a batch, of which _run is the first."""
        self._waiting: list[Run] = []
        """Claimed with a batch in view, but of a task that is none."""

    # ---- on its own thread ----

    def work(self) -> None:
        """Run tasks until the worker drains."""
        queue = self.workers.queue
        self.thread_id = threading.get_ident()
        queue._call_hooks(queue._startup)
        try:
            while not self.workers.is_draining and not self.is_abandoned:
                self._work_once(queue, self.workers.worker)
        finally:
            queue._call_hooks(queue._shutdown)
            if self._runner is not None:
                self._runner.close()

    def _work_once(self, queue: Queue, worker: Worker) -> None:
        try:
            if self.workers.batch > 1:
                runs = worker.next_batch(-1, self.workers.batch)
            else:
                run = worker.next(-1)
                runs = [] if run is None else [run]
        except Exception:
            log.exception("queue %s: its store", queue.name)
            self.workers.drained.wait(ERROR_PAUSE_S)
            return
        if not runs:
            # Draining; or the engine gave up on a stuck run, and the monitor
            # is about to open another.
            self.workers.drained.wait(0.01)
            return
        wrapper = queue._tasks.get(runs[0].name)
        if isinstance(wrapper, BatchTask):
            self._perform(queue, runs, perform_batch)
            return
        self._waiting = runs
        while self._waiting:
            run = self._waiting.pop(0)
            self._perform(queue, [run], perform)

    def _perform(self, queue: Queue, runs: list[Run], how: Any) -> None:
        """Run one task, or a batch, whose first run stands for all."""
        run = self._run = runs[0]
        self._together = runs
        _core.board_set(TASK, run.name, run.id)
        self.running[0] = run.id
        try:
            how(queue, runs if how is perform_batch else run, self._await)
        except (TaskTimeout, CancelExecution):
            pass  # it came when the outcome was stored already
        finally:
            self.running[0] = None
            self._run = None
            self._together = []
            _core.board_set(IDLE, "", 0)
            self.workers._tell_ended(len(runs))

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on this thread's loop."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        run = self._run
        # A runner's own context is that of its first run.
        context = contextvars.copy_context()
        try:
            return self._runner.run(self._as_task(coroutine), context=context)
        except asyncio.CancelledError:
            if run is not None and run.interrupted:
                raise interruption(run, run.name) from None
            raise RuntimeError("the task cancelled itself") from None
        except (KeyboardInterrupt, SystemExit):
            # They leave a loop at once, with its tasks in the middle.
            runner, self._runner = self._runner, None
            runner.close()
            raise

    async def _as_task(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        try:
            return await coroutine
        finally:
            self._loop = None

    # ---- on other threads ----

    def release(self) -> None:
        """Give the run back: the process is about to end under it."""
        for run in [*self._together, *self._waiting]:
            with contextlib.suppress(Error):  # it ended meanwhile
                run.finish(RELEASED)

    def interrupt(self, run_id: int, kind: type[Exception]) -> None:
        """Raise kind in the run, or cancel its coroutine."""
        loop, task = self._loop, self._task
        if self.running[0] != run_id:
            return
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # the loop closed meanwhile
                loop.call_soon_threadsafe(task.cancel)
        else:
            interrupt_thread(self.running, run_id, self.thread_id, kind)


class MainSeat(Seat):
    """The seat of a process worker: its main thread.

    A signal interrupts it, so that a system call which sleeps ends too.
    """

    def work(self) -> None:
        previous = signal.signal(signal.SIGALRM, self._on_alarm)
        try:
            super().work()
        finally:
            signal.signal(signal.SIGALRM, previous)

    def _on_alarm(self, _number: int, _frame: object) -> None:
        run = self._run
        if run is not None and self.running[0] is not None and run.interrupted:
            raise interruption(run, run.name)

    def interrupt(self, run_id: int, kind: type[Exception]) -> None:
        if self._loop is not None:
            super().interrupt(run_id, kind)
        elif self.running[0] == run_id:
            signal.pthread_kill(self.thread_id, signal.SIGALRM)


class Workers:
    """What the kinds have in common."""

    def __init__(
        self, queue: Queue, count: int, *, exit_when_stuck: bool = False
    ) -> None:
        if not 1 <= count <= 4096:
            raise ValueError("workers must be 1 to 4096")
        self.queue = queue
        self.count = count
        self.batch = size_of(queue)
        self.exit_when_stuck = exit_when_stuck
        self.box = Mailbox()
        self.drained = threading.Event()
        self.is_draining = False
        self.kill_grace_ms = 0  # the engine's own
        self.prefetch = PREFETCH if self.batch == 1 else 0
        self.on_runs: Callable[[int], None] | None = None
        """Told how many runs have ended, by whichever thread ran them."""
        self.worker: Worker
        self._old: list[Worker] = []
        self._wants_ready = False
        self._keeper: Keeper | None = None

    def _open(self, *, keeper: bool, periodic: bool, wants_ready: bool) -> None:
        self._wants_ready = wants_ready
        self.worker = self._new_worker()
        if periodic:
            self.queue._register_periodic()
        if keeper:
            self._keeper = _core.Keeper(self.queue._open(), self.box)

    def _new_worker(self) -> Worker:
        return Worker(
            self.queue._open(),
            self.queue.name,
            min(4096, self.count * self.batch),
            self.box,
            0,
            self.kill_grace_ms,
            self.exit_when_stuck,
            self._wants_ready,
            self.prefetch,
        )

    def _renew(self) -> None:
        """The engine claims no more after a stuck run: open another.

        The old one is kept for the runs that it still has.
        """
        if not self.is_draining:
            self._old.append(self.worker)
            self.worker = self._new_worker()

    def _tell_ended(self, runs: int) -> None:
        if self.on_runs is not None:
            self.on_runs(runs)

    def start(self, *, keeper: bool = True, periodic: bool = True) -> None:
        """Begin to run tasks."""
        raise NotImplementedError

    def stop(self, timeout: float | None) -> bool:
        """Drain, wait, close; False: something still runs."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back what still runs, as the process is about to end."""
        raise NotImplementedError

    def drain(self) -> None:
        """Begin no other task."""
        self.is_draining = True
        self.worker.drain()
        self.drained.set()
        self.box.ring()

    def _close(self) -> None:
        self.worker.close()
        if self._keeper is not None:
            self._keeper.close()


class ThreadWorkers(Workers):
    """``count`` threads, and one that carries interruptions."""

    def __init__(
        self, queue: Queue, count: int, *, exit_when_stuck: bool = False
    ) -> None:
        super().__init__(queue, count, exit_when_stuck=exit_when_stuck)
        self._seats: list[Seat] = []
        self._threads: list[threading.Thread] = []
        self._monitor: threading.Thread | None = None
        self._is_over = False
        self._main_done: threading.Event | None = None

    def start(self, *, keeper: bool = True, periodic: bool = True) -> None:
        self._open(keeper=keeper, periodic=periodic, wants_ready=False)
        self._start_monitor()
        for _ in range(self.count):
            self._add_seat()

    def open_here(self) -> None:
        """Begin, with the main thread for the one worker: see work_here."""
        self._open(keeper=False, periodic=False, wants_ready=False)
        self._start_monitor()
        self._seats.append(MainSeat(self))
        self._main_done = threading.Event()

    def work_here(self) -> None:
        """Be the one worker, on the main thread, until drain()."""
        assert self._main_done is not None
        try:
            self._seats[0].work()
        finally:
            self._main_done.set()

    def _start_monitor(self) -> None:
        self._monitor = threading.Thread(
            target=self._carry, name="guaco-monitor", daemon=True
        )
        self._monitor.start()

    def _add_seat(self) -> None:
        seat = Seat(self)
        thread = threading.Thread(
            target=seat.work,
            name=f"guaco-{self.queue.name}-{len(self._threads) + 1}",
            daemon=True,
        )
        seat.thread = thread
        self._seats.append(seat)
        self._threads.append(thread)
        thread.start()

    def _carry(self) -> None:
        """The monitor: sleeps until the engine has something to say."""
        while not self._is_over:
            for kind, _tag, _error, payload in self.box.take(-1):
                if kind == INTERRUPT:
                    for seat in self._seats:
                        seat.interrupt(payload[0], _kind_of(payload[2]))
                elif kind == STUCK:
                    self._replace(payload[0])
                elif kind == LOG:
                    log_line(*payload)

    def _replace(self, run_id: int) -> None:
        """A thread that does not end is left behind; another takes its seat."""
        for seat in list(self._seats):
            if seat.running[0] == run_id:
                log.error("task %d goes on after its timeout; its thread is "
                          "left behind", run_id)
                seat.is_abandoned = True
                self._seats.remove(seat)
                self._threads.remove(seat.thread)
                self._renew()
                self._add_seat()
                return

    def _end_monitor(self) -> None:
        self._is_over = True
        self.box.ring()
        if self._monitor is not None:
            self._monitor.join()

    def stop(self, timeout: float | None) -> bool:
        if threading.current_thread() in self._threads:
            raise QueueError("a task cannot wait for its own worker to stop")
        self.drain()
        end = None if timeout is None else time.monotonic() + timeout
        for thread in list(self._threads):
            left = None if end is None else max(0.0, end - time.monotonic())
            thread.join(left)
        main_ended = True
        if self._main_done is not None:
            left = None if end is None else max(0.0, end - time.monotonic())
            main_ended = self._main_done.wait(left)
        self._end_monitor()
        if any(t.is_alive() for t in self._threads) or not main_ended:
            return False
        self._close()
        return True

    def release(self) -> None:
        """Give back what still runs, as the process is about to end."""
        for seat in self._seats:
            seat.release()


class AsyncWorkers(Workers):
    """``count`` tasks at a time on one event loop."""

    def __init__(
        self, queue: Queue, count: int, *, exit_when_stuck: bool = False
    ) -> None:
        super().__init__(queue, count, exit_when_stuck=exit_when_stuck)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._runs: dict[int, list[Run]] = {}
        self._in_threads: dict[int, tuple[list[int | None], int]] = {}
        """Of plain functions: what interrupt_thread wants to know."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Event

    def start(self, *, keeper: bool = True, periodic: bool = True) -> None:
        self._open(keeper=keeper, periodic=periodic, wants_ready=True)
        self._thread = threading.Thread(
            target=self._main, name=f"guaco-{self.queue.name}", daemon=True
        )
        self._thread.start()

    def _main(self) -> None:
        # A loop of ours tells a profiler whose step it runs.
        with asyncio.Runner(
            loop_factory=_own_loop if _core.board_is_open() else None
        ) as runner:
            loop = runner.get_loop()
            serving = loop.create_task(self._serve())
            while not serving.done():
                try:
                    loop.run_until_complete(serving)
                except (KeyboardInterrupt, SystemExit):
                    # Raised in a child of a task's, it leaves the loop; the
                    # task gets it too, once the loop goes on.
                    log.warning("queue %s", self.queue.name, exc_info=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open_threads(self._loop)
        self._idle = asyncio.Event()
        queue = self.queue
        queue._call_hooks(queue._startup)
        self._loop.add_reader(self.box.fileno(), self._read)
        self._pump()
        try:
            await self._idle.wait()
            if self._running:
                await asyncio.wait(self._running.values())
        finally:
            self._loop.remove_reader(self.box.fileno())
            queue._call_hooks(queue._shutdown)

    def _open_threads(self, loop: asyncio.AbstractEventLoop) -> None:
        """Plain functions run beside the loop, as many as there are slots."""
        loop.set_default_executor(
            concurrent.futures.ThreadPoolExecutor(self.count)
        )

    def _read(self) -> None:
        for kind, _tag, _error, payload in self.box.take(0):
            if kind == INTERRUPT:
                self._interrupt(payload[0], _kind_of(payload[2]))
            elif kind == STUCK:
                self._leave_behind(payload[0])
            elif kind == LOG:
                log_line(*payload)
        self._pump()

    def _interrupt(self, run_id: int, kind: type[Exception]) -> None:
        """Cancel the coroutine of a run, or raise kind in its thread.

        Not both: the thread of a plain function is taken until it returns.
        """
        task = self._running.get(run_id)
        thread = self._in_threads.get(run_id)
        if thread is not None:
            cell, thread_id = thread
            interrupt_thread(cell, run_id, thread_id, kind)
        elif task is not None:
            task.cancel()

    def _leave_behind(self, run_id: int) -> None:
        log.error("task %d goes on after its timeout", run_id)
        self._running.pop(run_id, None)
        self._runs.pop(run_id, None)
        if self._in_threads.pop(run_id, None) is not None:
            self._open_threads(asyncio.get_running_loop())
        self._renew()

    async def _call(
        self, run: Run, function: Callable[..., T], *args: Any
    ) -> T:
        """asyncio.to_thread, and how to interrupt it."""
        run_id = run.id
        cell: list[int | None] = [run_id]

        def work() -> T:
            _core.board_set(TASK, run.name, run_id)
            self._in_threads[run_id] = (cell, threading.get_ident())
            try:
                return function(*args)
            finally:
                cell[0] = None
                self._in_threads.pop(run_id, None)
                _core.board_set(IDLE, "", 0)

        return await asyncio.to_thread(work)

    def _pump(self) -> None:
        """Begin what can be begun."""
        if self.is_draining:
            self._idle.set()
            return
        while len(self._running) < self.count:
            try:
                runs = self.worker.next_batch(0, self.batch)
            except Exception:
                log.exception("queue %s: its store", self.queue.name)
                asyncio.get_running_loop().call_later(ERROR_PAUSE_S, self._pump)
                return
            if not runs:
                return
            if isinstance(self.queue._tasks.get(runs[0].name), BatchTask):
                self._begin(aperform_batch, runs)
            else:
                for run in runs:
                    self._begin(aperform, [run])

    def _begin(self, how: Any, runs: list[Run]) -> None:
        """Run one task, or a batch, whose first run stands for all."""
        first = runs[0]
        task = asyncio.get_running_loop().create_task(self._perform(how, runs))
        self._running[first.id] = task
        self._runs[first.id] = runs
        task.add_done_callback(functools.partial(self._done, first.id))

    async def _perform(self, how: Any, runs: list[Run]) -> None:
        first = runs[0]
        _core.board_tag(TASK, first.name, first.id)
        what = runs if how is aperform_batch else first
        await how(self.queue, what, functools.partial(self._call, first))

    def _done(self, run_id: int, task: asyncio.Task[None]) -> None:
        self._running.pop(run_id, None)
        self._tell_ended(len(self._runs.pop(run_id, ())))
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("task %d", run_id, exc_info=exc)
        self._pump()

    def stop(self, timeout: float | None) -> bool:
        self.drain()
        if self._thread is not None:
            self._thread.join(None if timeout is None else max(0.0, timeout))
            if self._thread.is_alive():
                return False
        self._close()
        return True

    def release(self) -> None:
        for run in [run for runs in self._runs.values() for run in runs]:
            with contextlib.suppress(Error):  # it ended meanwhile
                run.finish(RELEASED)


def _own_loop() -> asyncio.AbstractEventLoop:
    import guaco.loop

    return guaco.loop.new_event_loop()


def open_workers(
    queue: Queue, count: int, kind: str, *, exit_when_stuck: bool = False
) -> Workers:
    """The workers of a kind that run in this process."""
    match kind:
        case "thread":
            return ThreadWorkers(queue, count, exit_when_stuck=exit_when_stuck)
        case "async":
            return AsyncWorkers(queue, count, exit_when_stuck=exit_when_stuck)
        case "greenlet":
            from guaco._queue_greenlet import GreenletWorkers

            return GreenletWorkers(queue, count, exit_when_stuck=exit_when_stuck)
        case "process":
            raise QueueError(
                "process workers are started by `guaco work -k process`"
            )
    raise ValueError(f"kind is thread, async or greenlet, not {kind!r}")
