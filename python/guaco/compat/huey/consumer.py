"""The consumer: workers that run tasks, and a scheduler."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import logging
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from guaco.compat.huey._claims import DEATHS_MAX, Claiming, Receipt
from guaco.compat.huey.constants import (
    WORKER_GREENLET,
    WORKER_PROCESS,
    WORKER_THREAD,
    WORKER_TYPES,
)
from guaco.compat.huey.exceptions import ConfigurationError, TaskTimeout
from guaco.compat.huey.signals import SIGNAL_ENQUEUED, SIGNAL_ERROR
from guaco.compat.huey.utils import Error, noop_context

if TYPE_CHECKING:
    from guaco.compat.huey._huey import Huey
    from guaco.compat.huey._task import Task

logger = logging.getLogger("huey.consumer")


class ConsumerStopped(Exception):
    """The consumer's loop has ended."""


class WorkerRecycle(Exception):
    """A worker ends, for another to take its place."""


def _is_stock(huey: Huey, name: str) -> bool:
    """Whether nobody overrides a method of Huey."""
    from guaco.compat.huey._huey import Huey as Stock

    return name not in vars(huey) and getattr(type(huey), name) is getattr(
        Stock, name
    )


# ---- what runs in the workers ----


class BaseProcess:
    """What a worker and the scheduler have in common."""

    process_name = "BaseProcess"

    def __init__(self, huey: Huey, stop_flag: Any) -> None:
        self.huey = huey
        self.stop_flag = stop_flag
        self._logger = self.create_logger()

    def create_logger(self) -> logging.Logger:
        """Where it logs."""
        return logging.getLogger(f"huey.consumer.{self.process_name}")

    def initialize(self) -> None:
        """Called first, where it runs."""

    def sleep_for_interval(self, start_ts: float, nseconds: float) -> None:
        """Sleep until nseconds after start_ts (monotonic), or the stop."""
        left = start_ts + nseconds - time.monotonic()
        if left > 0:
            self.stop_flag.wait(left)

    def loop(self, now: dt.datetime | None = None) -> None:
        """Do one step."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Called last."""


class Worker(BaseProcess):
    """Takes tasks and runs them."""

    process_name = "Worker"

    def __init__(
        self,
        huey: Huey,
        stop_flag: Any,
        default_delay: float,
        max_delay: float,
        backoff: float,
        max_tasks: int | None = None,
    ) -> None:
        super().__init__(huey, stop_flag)
        self.delay = self.default_delay = default_delay
        self.max_delay = max_delay
        self.backoff = backoff
        self.max_tasks = max_tasks
        self.task_count = 0
        self.receipt: Receipt | None = None
        """Of the task that is being run."""

    def initialize(self) -> None:
        self._run_hooks(self.huey._startup, "startup")

    def shutdown(self) -> None:
        self._run_hooks(self.huey._shutdown, "shutdown")

    def _run_hooks(self, hooks: dict[str, Any], what: str) -> None:
        for name, hook in tuple(hooks.items()):
            try:
                hook()
            except Exception:
                self._logger.exception("%s hook '%s' failed.", what, name)

    def _claim(self) -> Task | None:
        """The next task, which the storage keeps if it can."""
        storage = self.huey.storage
        if not (
            isinstance(storage, Claiming)
            and storage.can_claim()
            and _is_stock(self.huey, "dequeue")
        ):
            return self.huey.dequeue()
        self.receipt = storage.claim()
        if self.receipt is None:
            return None
        try:
            return self.huey.deserialize_task(self.receipt.data)
        except BaseException:
            receipt, self.receipt = self.receipt, None
            storage.put_aside(receipt)  # Huey would lose it
            raise

    def _settle(self) -> None:
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            self.huey.storage.settle(receipt)

    def give_back(self) -> None:
        """What is being run is not run to its end: others may."""
        receipt, self.receipt = self.receipt, None
        if receipt is not None:
            self.huey.storage.give_back(receipt)

    def loop(self, now: dt.datetime | None = None) -> None:
        task = None
        try:
            task = self._claim()
        except Exception:
            self._logger.exception("Error reading from queue")
            self.sleep()
            return
        if task is None:
            if not self.huey.storage.blocking:
                self.sleep()
            return
        self.delay = self.default_delay
        self._run(task, now)
        self.task_count += 1
        if self.max_tasks and self.task_count >= self.max_tasks:
            raise WorkerRecycle

    def _run(self, task: Task, now: dt.datetime | None) -> None:
        try:
            self.huey.execute(task, now)
        except Exception:
            # The storage, or a serializer: what the task raises is not seen
            # here.  It may have been run, and will be again.
            self._logger.exception("Error processing task %s", task)
            self.give_back()
            self.sleep()
        except BaseException:
            self._logger.error("Task %s ended its worker", task)
            self._settle()
            raise
        else:
            if getattr(task, "_is_interrupted", False):
                self.give_back()
            else:
                self._settle()

    def sleep(self) -> None:
        """Wait before the queue is looked at again; longer each time."""
        self.delay = min(self.delay, self.max_delay)
        self.stop_flag.wait(self.delay)
        self.delay *= self.backoff


class Scheduler(BaseProcess):
    """Enqueues what is due, and the periodic tasks."""

    periodic_task_seconds = 60
    process_name = "Scheduler"

    def __init__(
        self, huey: Huey, stop_flag: Any, interval: float, periodic: bool
    ) -> None:
        super().__init__(huey, stop_flag)
        self.interval = max(min(interval, 60), 1)
        self.periodic = periodic
        self._next_loop = time.monotonic()
        self._next_periodic = time.monotonic()

    def loop(self, now: dt.datetime | None = None) -> None:
        current = self._next_loop
        self._next_loop += self.interval
        if self._next_loop < time.monotonic():
            self._logger.debug("scheduler skipping iteration to avoid race")
            self._next_loop = time.monotonic()
            return
        self._reap()
        if isinstance(self.huey.storage, Claiming) and self._can_promote():
            self._promote(now)
        else:
            self._enqueue_due(now)
        if self.periodic and self._next_periodic <= time.monotonic():
            while self._next_periodic <= time.monotonic():
                self._next_periodic += self.periodic_task_seconds
            self.enqueue_periodic_tasks(now)
        self.sleep_for_interval(current, self.interval)

    def _can_promote(self) -> bool:
        storage: Claiming = self.huey.storage
        return (
            storage.can_promote()
            and "enqueue" not in vars(storage)
            and _is_stock(self.huey, "read_schedule")
            and _is_stock(self.huey, "enqueue")
        )

    def _enqueue_due(self, now: dt.datetime | None) -> None:
        try:
            tasks = self.huey.read_schedule(now)
        except Exception:
            self._logger.exception("Error reading schedule.")
            return
        for task in tasks:
            self._logger.debug("Enqueueing %s", task)
            try:
                self.huey.enqueue(task)
            except Exception:
                self._logger.exception("Error enqueueing %s.", task)

    def _promote(self, now: dt.datetime | None) -> None:
        """As _enqueue_due(), one by one, each in one step."""
        huey = self.huey
        ts = huey._get_timestamp() if now is None else now
        try:
            while items := huey.storage.due_items(ts):
                for key, data in items:
                    self._promote_one(key, data)
                if self.stop_flag.wait(0):
                    return
        except Exception:
            self._logger.exception("Error reading schedule.")

    def _promote_one(self, key: Any, data: bytes) -> None:
        huey = self.huey
        try:
            task = huey.deserialize_task(data)
            task.resolve_expires(huey.utc)
            body = huey.serialize_task(task)
        except Exception:
            self._logger.exception("Unable to deserialize a task, skipping it.")
            huey.storage.drop_due(key)
            return
        self._logger.debug("Enqueueing %s", task)
        if huey.storage.promote(key, body, task.priority):
            huey._emit(SIGNAL_ENQUEUED, task)

    def _reap(self) -> None:
        """Take over what dead consumers were running."""
        storage = self.huey.storage
        if not (isinstance(storage, Claiming) and storage.can_claim()):
            return
        try:
            count, aside = storage.reap()
        except Exception:
            self._logger.exception("Error looking for dead consumers.")
            return
        if count:
            self._logger.warning(
                "%s tasks of a consumer that died are given back", count
            )
        for data in aside:
            try:
                self._tell_dead(self.huey.deserialize_task(data))
            except Exception:
                self._logger.exception("A task was put aside.")

    def _tell_dead(self, task: Task) -> None:
        exc = RuntimeError(f"its worker died {DEATHS_MAX} times running it")
        self._logger.error("Task %s is put aside: %s", task, exc)
        if self.huey.results:
            error = self.huey.build_error_result(task, exc)
            self.huey.put_result(task.id, Error(error))
        self.huey._emit(SIGNAL_ERROR, task, exc)

    def enqueue_periodic_tasks(self, now: dt.datetime | None) -> None:
        """Enqueue those of this minute."""
        when = self.huey._get_timestamp() if now is None else now
        self._logger.debug("Checking periodic tasks")
        for task in self.huey.read_periodic(when):
            self._logger.info("Enqueueing periodic task %s.", task)
            try:
                self.huey.enqueue(task)
            except Exception:
                self._logger.exception("Error enqueueing %s.", task)


# ---- where they run ----


class ForkSafeFlag:
    """A flag that a killed process cannot leave locked: a pipe, which is
    readable once it is set."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """Set it, for all processes."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def is_set(self) -> bool:
        """Whether it is."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; whether it is."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def __del__(self) -> None:
        for fd in (self._read, self._write):
            with contextlib.suppress(OSError):
                os.close(fd)


class Environment:
    """How workers are started, told to stop and given a time limit."""

    forks = False

    def __init__(
        self,
        graceful: int = signal.SIGINT,
        interrupt: int = signal.SIGTERM,
    ) -> None:
        self.graceful = graceful
        self.interrupt = interrupt

    def get_stop_flag(self) -> Any:
        """What tells all workers to end."""
        raise NotImplementedError

    def create_process(self, runnable: Any, name: str) -> Any:
        """Something with start() and join() that calls runnable."""
        raise NotImplementedError

    def init_child(self, process: Any) -> None:
        """Called first in a worker."""

    def is_alive(self, proc: Any) -> bool:
        """Whether it runs."""
        raise NotImplementedError

    def timeout(self, seconds: float) -> Any:
        """A context manager that raises TaskTimeout, if that can be done."""
        return noop_context()

    def interrupt_workers(self, procs: list[Any]) -> None:
        """End what they are running, if that can be done."""


class ThreadEnvironment(Environment):
    """Workers are threads.  A timeout is the task's to look at."""

    def get_stop_flag(self) -> Any:
        return threading.Event()

    def create_process(self, runnable: Any, name: str) -> Any:
        return threading.Thread(target=runnable, name=name, daemon=True)

    def is_alive(self, proc: Any) -> bool:
        return bool(proc.is_alive())


class GreenletEnvironment(Environment):
    """Workers are greenlets of gevent."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        try:
            gevent: Any = importlib.import_module("gevent")
            importlib.import_module("gevent.event")
            monkey: Any = importlib.import_module("gevent.monkey")
        except ImportError:
            raise ConfigurationError(
                "greenlet workers need the package gevent"
            ) from None
        if not monkey.is_module_patched("socket"):
            logger.warning("gevent has patched nothing: call "
                           "gevent.monkey.patch_all() before all imports")
        self._gevent = gevent

    def get_stop_flag(self) -> Any:
        return self._gevent.event.Event()

    def create_process(self, runnable: Any, name: str) -> Any:
        greenlet = self._gevent.Greenlet(run=runnable)
        greenlet.name = name
        return greenlet

    def is_alive(self, proc: Any) -> bool:
        return not proc.dead

    def timeout(self, seconds: float) -> Any:
        error = TaskTimeout(f"timeout {seconds}s")
        return self._gevent.Timeout(seconds, error)

    def interrupt_workers(self, procs: list[Any]) -> None:
        for proc in procs:
            if not proc.dead:
                proc.kill(KeyboardInterrupt, block=False)


class ProcessEnvironment(Environment):
    """Workers are forked."""

    forks = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mp = multiprocessing.get_context("fork")

    def get_stop_flag(self) -> Any:
        return ForkSafeFlag()

    def create_process(self, runnable: Any, name: str) -> Any:
        return self.mp.Process(target=runnable, name=name, daemon=True)

    def init_child(self, process: Any) -> None:
        for number in (self.graceful, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(self.interrupt, signal.default_int_handler)

    def is_alive(self, proc: Any) -> bool:
        return bool(proc.is_alive())

    @contextlib.contextmanager
    def _alarm(self, seconds: float) -> Iterator[None]:
        def on_alarm(_number: int, _frame: Any) -> None:
            raise TaskTimeout(f"timeout {seconds}s")

        previous = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    def timeout(self, seconds: float) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return noop_context()
        return self._alarm(seconds)

    def interrupt_workers(self, procs: list[Any]) -> None:
        for proc in procs:
            if proc.is_alive() and proc.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(proc.pid, self.interrupt)


WORKER_TO_ENVIRONMENT: dict[str, type[Environment]] = {
    WORKER_THREAD: ThreadEnvironment,
    WORKER_GREENLET: GreenletEnvironment,
    "gevent": GreenletEnvironment,
    WORKER_PROCESS: ProcessEnvironment,
}


# ---- the consumer ----


class Consumer:
    """Workers and a scheduler, until it is stopped."""

    worker_class = Worker
    scheduler_class = Scheduler

    def __init__(
        self,
        huey: Huey,
        workers: int = 1,
        periodic: bool = True,
        initial_delay: float = 0.1,
        backoff: float = 1.15,
        max_delay: float = 10.0,
        scheduler_interval: int = 1,
        worker_type: str = WORKER_THREAD,
        check_worker_health: bool = True,
        health_check_interval: float = 10,
        flush_locks: bool = False,
        extra_locks: Any = None,
        max_tasks: int | None = None,
        shutdown_timeout: float | None = None,
        graceful_signal: str = "INT",
    ) -> None:
        self._logger = logger
        self.huey = huey
        self.workers = workers
        self.periodic = periodic
        self.default_delay = initial_delay
        self.backoff = backoff
        self.max_delay = max(max_delay, initial_delay)
        self.scheduler_interval = max(min(scheduler_interval, 60), 1)
        if 60 % self.scheduler_interval != 0:
            raise ConfigurationError("scheduler interval must be a factor of 60")
        self.worker_type = (
            WORKER_GREENLET if worker_type == "gevent" else worker_type
        )
        if self.worker_type not in WORKER_TYPES:
            raise ConfigurationError(
                f"worker_type is one of {', '.join(WORKER_TYPES)}"
            )
        self._health_check = check_worker_health
        self._health_check_interval = float(health_check_interval)
        self.max_tasks = max_tasks
        if max_tasks and not check_worker_health:
            raise ConfigurationError("max_tasks needs the health check, which "
                                     "starts the next worker")
        self.shutdown_timeout = shutdown_timeout
        self._set_signals(graceful_signal)
        self.environment = self.get_environment(self.worker_type)
        self.stop_flag = self.environment.get_stop_flag()
        self._wake = ForkSafeFlag()
        if flush_locks:
            names = extra_locks.split(",") if extra_locks else []
            self.flush_locks(*[name.strip() for name in names])
        self.scheduler = self._create_process(
            self._create_scheduler(), "Scheduler"
        )
        self.worker_threads: list[tuple[Worker, Any]] = []
        for number in range(workers):
            worker = self._create_worker()
            process = self._create_process(worker, f"Worker-{number + 1}")
            self.worker_threads.append((worker, process))

    def _set_signals(self, graceful_signal: str) -> None:
        if graceful_signal not in ("INT", "TERM"):
            raise ConfigurationError("graceful_signal is INT or TERM")
        self.graceful_signal = graceful_signal
        numbers = [signal.SIGINT, signal.SIGTERM]
        if graceful_signal == "TERM":
            numbers.reverse()
        self._graceful_number, self._interrupt_number = numbers
        self._signal_actions: dict[int, tuple[bool, bool]] = {
            numbers[0]: (False, True),
            numbers[1]: (False, False),
            signal.SIGHUP: (True, True),
        }
        """(restart, graceful) by signal."""
        self._received_signal = False
        self._restart = False
        self._graceful = True
        self._signum: int | None = None

    def flush_locks(self, *names: str) -> None:
        """Clear the locks of consumers that were killed."""
        self._logger.debug("Flushing locks before starting up.")
        flushed = self.huey.flush_locks(*names)
        if flushed:
            self._logger.warning("Found stale locks: %s", ", ".join(flushed))

    def get_environment(self, worker_type: str) -> Any:
        """How workers of a type are run."""
        cls = WORKER_TO_ENVIRONMENT[worker_type]
        return cls(self._graceful_number, self._interrupt_number)

    def _create_worker(self) -> Worker:
        return self.worker_class(
            huey=self.huey,
            stop_flag=self.stop_flag,
            default_delay=self.default_delay,
            max_delay=self.max_delay,
            backoff=self.backoff,
            max_tasks=self.max_tasks,
        )

    def _create_scheduler(self) -> Scheduler:
        return self.scheduler_class(
            huey=self.huey,
            stop_flag=self.stop_flag,
            interval=self.scheduler_interval,
            periodic=self.periodic,
        )

    def _create_process(self, process: BaseProcess, name: str) -> Any:
        """A thread, greenlet or process that runs process.loop()."""
        # the scheduler of forked workers is forked too
        def run() -> None:
            self.environment.init_child(process)
            process.initialize()
            try:
                while not self.stop_flag.is_set():
                    process.loop()
            except KeyboardInterrupt:
                if isinstance(process, Worker):
                    process.give_back()
            except WorkerRecycle:
                process._logger.info("%s has run its tasks, restarting", name)
            except Exception:
                process._logger.exception("%s died!", name)
            finally:
                process.shutdown()
                if self.environment.forks:
                    self.huey.storage.close()

        return self.environment.create_process(run, name)

    def start(self) -> None:
        """Start all; returns at once."""
        if self.huey.immediate:
            raise ConfigurationError(
                "Consumer cannot be run with Huey instances where immediate "
                "is enabled. Please check your configuration and ensure that "
                "\"huey.immediate = False\"."
            )
        self._logger.info(
            "Huey consumer started with %s %s, PID %s at %s",
            self.workers, self.worker_type, os.getpid(), dt.datetime.now(),
        )
        self._logger.info("Scheduler runs every %s second(s).",
                          self.scheduler_interval)
        self._logger.info("Periodic tasks are %s.",
                          "enabled" if self.periodic else "disabled")
        names = "\n".join(f"+ {n}" for n in self.huey._registry._registry)
        self._logger.info("The following commands are available:\n%s", names)
        self.huey.set_timeout_handler(self.environment.timeout)
        if self.environment.forks:
            self.huey.storage.close()  # a fork inherits no connection
        self.scheduler.start()
        for _, process in self.worker_threads:
            process.start()

    def stop(self, graceful: bool = False) -> None:
        """End the workers; graceful: when their tasks have ended."""
        self.stop_flag.set()
        if not graceful:
            self._logger.info("Shutting down")
            self._interrupt_workers()
            return
        self._logger.info("Shutting down gracefully...")
        try:
            self._join_workers()
        except KeyboardInterrupt:
            self._logger.info("Received request to shut down now.")
            self._interrupt_workers()
        else:
            self._logger.info("All workers have stopped.")

    def _interrupt_workers(self) -> None:
        """End what runs; it goes back to the storage."""
        processes = [process for _, process in self.worker_threads]
        self.environment.interrupt_workers([*processes, self.scheduler])
        if self.environment.forks:
            for process in processes:
                process.join(5)
            return
        for worker, _ in self.worker_threads:
            try:
                worker.give_back()
            except Exception:
                self._logger.exception("A task could not be given back")

    def _join_workers(self) -> None:
        end = None
        if self.shutdown_timeout is not None:
            end = time.monotonic() + self.shutdown_timeout
        for _, process in self.worker_threads:
            if end is None:
                process.join()
            else:
                process.join(max(0.0, end - time.monotonic()))
        alive = [
            process
            for _, process in self.worker_threads
            if self.environment.is_alive(process)
        ]
        if alive:
            self._logger.warning(
                "Shutdown timeout: %s workers are still running, "
                "interrupting them", len(alive),
            )
            self._interrupt_workers()
        self.scheduler.join(5)

    def run(self) -> None:
        """Start, and work until a signal says otherwise."""
        self._set_signal_handlers()
        self.start()
        last = time.monotonic()
        while True:
            try:
                last = self.loop(last)
            except ConsumerStopped:
                break
            except KeyboardInterrupt:
                self.stop()
                break
        self.huey.notify_interrupted_tasks()
        if self._restart:
            self._logger.info("Consumer will restart.")
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        self._logger.info("Consumer exiting.")

    def loop(self, health_check_ts: float | None = None) -> float:
        """Wait for a signal, at most until the next health check; the time of
        the last one."""
        last = time.monotonic() if health_check_ts is None else health_check_ts
        if not self._received_signal:
            self._wake.wait(self._health_check_interval)
        if self._received_signal:
            self.stop(graceful=self._graceful)
            raise ConsumerStopped
        if self._health_check:
            if time.monotonic() >= last + self._health_check_interval:
                self.check_worker_health()
                last = time.monotonic()
        return last

    def check_worker_health(self) -> bool:
        """Start what has ended again; whether all was well."""
        self._logger.debug("Checking worker health.")
        was_well = True
        for number, (worker, process) in enumerate(self.worker_threads):
            if self.environment.is_alive(process):
                continue
            self._logger.warning("Worker %d died, restarting.", number + 1)
            worker = self._create_worker()
            process = self._create_process(worker, f"Worker-{number + 1}")
            process.start()
            self.worker_threads[number] = (worker, process)
            was_well = False
        if not self.environment.is_alive(self.scheduler):
            self._logger.warning("Scheduler died, restarting.")
            self.scheduler = self._create_process(
                self._create_scheduler(), "Scheduler"
            )
            self.scheduler.start()
            was_well = False
        return was_well

    def _set_signal_handlers(self) -> None:
        for number in self._signal_actions:
            signal.signal(number, self._handle_signal)

    def _handle_signal(self, signum: int, frame: Any) -> None:
        self._logger.info("Received %s", signal.Signals(signum).name)
        self._restart, self._graceful = self._signal_actions[signum]
        self._signum = signum
        self._received_signal = True
        if signum != signal.SIGHUP:
            signal.signal(signum, signal.default_int_handler)
        self._wake.set()
