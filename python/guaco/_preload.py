"""--preload: a process that imports the application once and forks the workers.

The supervisor starts it like a worker, with the role "preload".  On each
``{"command": "fork"}`` comes one end of a channel; whoever is forked finds on it
what a worker that was started finds.  It is forked twice, so that it becomes a
child of the supervisor, whose it is to wait for.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import threading
from typing import Any

from guaco._worker import (
    EXIT_DRAINED,
    EXIT_START_FAILURE,
    WebWorker,
    describe,
    receive_order,
    reopen_logs,
)

_MESSAGE_MAX = 65536


def main(order: dict[str, Any], channel: socket.socket) -> int:
    """Import, and fork until told to end; the process's exit code, or that of
    the worker that it has become."""
    options = order.get("options") or {}
    try:
        from guaco import _server  # noqa: F401  (shared by all workers too)
        from guaco._interface import import_target

        import_target(order["target"], options.get("app_dir") or ".")
    except BaseException as exc:
        text = describe(exc)[-_MESSAGE_MAX // 8 :]
        if not _send(channel, "failed", text=text):
            print(text, file=sys.stderr)
        return EXIT_START_FAILURE
    if warning := _threads():
        _send(channel, "warning", text=warning)
    # What is there now is nobody's garbage: collecting it would only make
    # pages of the workers differ.
    gc.collect()
    gc.freeze()
    _send(channel, "ready", pid=os.getpid())
    return _obey(channel)


def _obey(channel: socket.socket) -> int:
    while True:
        data, fds, _flags, _address = socket.recv_fds(channel, _MESSAGE_MAX, 8)
        command = json.loads(data).get("command") if data else "drain"
        if command == "drain":
            return EXIT_DRAINED
        if command == "logs":
            reopen_logs(fds)
            continue
        if command == "fork" and len(fds) == 1 and _fork():
            channel.close()
            return _work(socket.socket(fileno=fds[0]))
        for fd in fds:
            os.close(fd)


def _fork() -> bool:
    """True in the process that is to be the worker."""
    try:
        child = os.fork()
    except OSError as exc:
        print(f"guaco: --preload: {exc}", file=sys.stderr)
        return False  # the end of its channel tells the supervisor
    if child:
        os.waitpid(child, 0)
        return False
    try:
        grandchild = os.fork()
    except OSError:
        os._exit(1)
    if grandchild:
        os._exit(0)
    return True


def _work(channel: socket.socket) -> int:
    channel.set_inheritable(False)
    _send(channel, "forked", pid=os.getpid())
    order, fds = receive_order(channel)
    return WebWorker(order, channel, fds).run()


def _threads() -> str:
    """A warning of what a fork will not carry over, or nothing."""
    running = len(os.listdir("/proc/self/task"))
    if running == 1:
        return ""
    names = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    listed = ", ".join(names) or "none of Python's"
    return (
        f"--preload: importing the application has started {running - 1} threads "
        f"({listed}); they do not run in the workers, and locks that they hold "
        "stay locked there"
    )


def _send(channel: socket.socket, event: str, **more: Any) -> bool:
    try:
        channel.send(json.dumps({"event": event, **more}).encode())
    except OSError:
        return False  # the supervisor is gone: the end of file says so too
    return True


