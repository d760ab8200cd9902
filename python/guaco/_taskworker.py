"""The worker process of `guaco work` and `guaco up`: role "tasks".

The supervisor starts it by ``python -m guaco._worker``, which hands the first
message of the channel over.  Signals are read by a thread of their own (through
the wake-up descriptor), for the main thread may be inside a task or asleep in
the store.
"""

from __future__ import annotations

import json
import logging
import os
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from guaco import _core
from guaco._interface import TargetError, import_target
from guaco._queue_errors import QueueError
from guaco._queue_worker import (
    PREFETCH,
    ThreadWorkers,
    Workers,
    open_workers,
)
from guaco._worker import describe, reopen_logs
from guaco.queue import Queue, all_queues

log = logging.getLogger("guaco.queue")

EXIT_DRAINED, EXIT_START_FAILURE = 0, 3
_MESSAGE_MAX = 65536


def deployment(generation: int) -> int:
    """A number for what is deployed: later starts and reloads have greater.

    GUACO_DEPLOYMENT, or when the supervisor was started (Unix time in ms)
    plus its count of reloads; so a worker that is only restarted does not
    pass for newer code.
    """
    if text := os.environ.get("GUACO_DEPLOYMENT"):
        return int(text)
    try:
        with open(f"/proc/{os.getppid()}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as file:
            boot_s = int(file.read().partition(b"\nbtime ")[2].split()[0])
    except (OSError, ValueError, IndexError):
        return round(time.time() * 1000) + generation
    return boot_s * 1000 + ticks * 1000 // os.sysconf("SC_CLK_TCK") + generation


def load(target: str) -> Any:
    """What ``module:attribute`` names; ``module.attribute`` is taken too.

    TargetError when the name is wrong; what the module raises comes through.
    """
    module_name, mark, path = target.partition(":")
    if not mark:
        module_name, _, path = target.rpartition(".")
    if not module_name or not path:
        raise TargetError(f"{target!r} is not MODULE:ATTRIBUTE")
    return import_target(f"{module_name}:{path}")


def find_queues(target: str, others: Iterable[str] = ()) -> list[Queue]:
    """The queues to run: target, if it is one, else all that it created.

    An application that creates none is an error unless others are named.
    """
    found = load(target)
    named = [load(other) for other in others]
    for name, queue in zip(others, named, strict=True):
        if not isinstance(queue, Queue):
            raise TargetError(f"{name!r} is a {type(queue).__name__}, not a Queue")
    queues = [found] if isinstance(found, Queue) else all_queues()
    queues += [q for q in named if q not in queues]
    if not queues:
        raise TargetError(f"importing {target!r} creates no queue")
    for queue in queues:
        if queue.immediate:
            raise TargetError(f"queue {queue.name!r} is in immediate mode")
        if queue.is_local:
            raise TargetError(
                f"queue {queue.name!r} is in the memory of one process, which "
                "other processes cannot reach: use sqlite:///FILE"
            )
    return queues


class TaskWorker:
    """One worker process: its queues, and the channel to the supervisor."""

    def __init__(self, order: dict[str, Any], channel: socket.socket) -> None:
        options = order.get("options", {})
        self._channel = channel
        self._target: str = order["target"]
        self._others: list[str] = options.get("queue") or []
        self._deployment = deployment(int(order.get("generation") or 0))
        self._kind: str = options.get("worker_kind") or "thread"
        self._count = int(order.get("concurrency") or 1)
        self._prefetch = int(options.get("prefetch", PREFETCH))
        self._grace_s = float(options.get("grace") or 30)
        self._periodic = bool(options.get("periodic", True))
        self._level = str(options.get("log_level") or "info")
        self._app_dir = str(options.get("app_dir") or ".")
        most = int(options.get("max_tasks") or 0)
        if most:
            most += random.randint(0, int(options.get("max_tasks_jitter") or 0))
        self._most = most
        self._ran = 0
        self._count_lock = threading.Lock()
        self._workers: list[Workers] = []
        self._ended = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()

    def _send(self, event: str, **more: Any) -> None:
        try:
            self._channel.send(json.dumps({"event": event, **more}).encode())
        except OSError:
            pass  # the supervisor is gone: the end of file says so too

    def run(self) -> int:
        """Work until told to drain; the process's exit code."""
        self._catch_signals()
        try:
            queues = self._start()
        except Exception as exc:
            self._send("failed", text=describe(exc)[-_MESSAGE_MAX // 4 :])
            return EXIT_START_FAILURE
        self._send(
            "queues", queues=[{"name": q.name, "url": q.url} for q in queues]
        )
        _core.board_set(0, "", 0)
        self._send("ready", pid=os.getpid())
        if self._kind == "process":
            main = self._workers[0]
            assert isinstance(main, ThreadWorkers)
            main.work_here()
        self._ended.wait()
        return EXIT_DRAINED

    def _catch_signals(self) -> None:
        self._wake_out.setblocking(False)
        signal.set_wakeup_fd(self._wake_out.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def _start(self) -> list[Queue]:
        if not logging.getLogger().handlers:
            level = "debug" if self._level == "trace" else self._level
            logging.basicConfig(
                level=level.upper(), format="%(asctime)s %(levelname)s %(message)s"
            )
        folder = os.path.abspath(self._app_dir)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        queues = find_queues(self._target, self._others)
        for queue in queues if self._periodic else []:
            queue._register_periodic(self._deployment)
        for number, queue in enumerate(queues):
            on_main = self._kind == "process" and number == 0
            kind = "thread" if self._kind == "process" else self._kind
            count = 1 if self._kind == "process" else self._count
            workers = open_workers(queue, count, kind, exit_when_stuck=True)
            if workers.batch == 1:
                workers.prefetch = self._prefetch
            if self._most:
                workers.on_runs = self._count_runs
            self._workers.append(workers)
            if on_main and isinstance(workers, ThreadWorkers):
                workers.open_here()
            else:
                workers.start(keeper=False, periodic=False)
        threading.Thread(target=self._control, name="guaco-control", daemon=True).start()
        return queues

    def _count_runs(self, runs: int) -> None:
        """After --max-tasks this process is to be replaced."""
        with self._count_lock:
            before = self._ran
            self._ran += runs
            is_full = before < self._most <= self._ran
        if is_full:
            self._send("exhausted")

    # ---- the control thread ----

    def _control(self) -> None:
        """Wait for a signal, an order or the supervisor's death; then drain."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wake_in, selectors.EVENT_READ)
            while not self._is_told(selector.select()):
                pass
        self._drain()

    def _is_told(self, ready: list[tuple[selectors.SelectorKey, int]]) -> bool:
        for key, _events in ready:
            if key.fileobj is self._wake_in:
                numbers = self._wake_in.recv(256)
                if {signal.SIGTERM, signal.SIGINT} & set(numbers):
                    return True
            elif key.fileobj is self._channel:
                message, fds, _flags, _address = socket.recv_fds(
                    self._channel, _MESSAGE_MAX, 8
                )
                command = json.loads(message).get("command") if message else ""
                if command == "logs":
                    reopen_logs(fds)
                elif not message or command == "drain":
                    return True
        return False

    def _drain(self) -> None:
        self._send("draining")
        for workers in self._workers:
            workers.drain()
        end = time.monotonic() + self._grace_s
        left = [w for w in self._workers if not w.stop(end - time.monotonic())]
        if left:
            for workers in left:
                workers.release()
            logging.shutdown()
            os._exit(EXIT_DRAINED)
        self._ended.set()


def main(order: dict[str, Any], channel: socket.socket) -> int:
    """Be the worker that order, the channel's first message, describes."""
    if order.get("options", {}).get("worker_kind") == "greenlet":
        from guaco._queue_greenlet import patch

        try:
            patch()
        except QueueError as exc:
            text = json.dumps({"event": "failed", "text": str(exc)})
            channel.send(text.encode())
            return EXIT_START_FAILURE
    return TaskWorker(order, channel).run()
