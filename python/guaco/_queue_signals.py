"""Signals of a queue: what happens to its tasks, told as it happens.

A handler is called as ``handler(signal, task)``, for SIGNAL_ERROR with the
exception as third argument, in the process and thread where it happens.
ENQUEUED comes from the process that enqueues, the others from the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

SIGNAL_CANCELED: Final = "canceled"
SIGNAL_COMPLETE: Final = "complete"
SIGNAL_ENQUEUED: Final = "enqueued"
SIGNAL_ERROR: Final = "error"
SIGNAL_EXECUTING: Final = "executing"
SIGNAL_INTERRUPTED: Final = "interrupted"
SIGNAL_LOCKED: Final = "locked"
SIGNAL_RATE_LIMITED: Final = "rate-limited"
SIGNAL_RETRYING: Final = "retrying"
SIGNAL_TIMEOUT: Final = "timeout"

Handler = Callable[..., Any]
log = logging.getLogger("guaco.queue")


class Signals:
    """Receivers by signal; those for one signal come before those for all."""

    def __init__(self) -> None:
        self._receivers: dict[str, list[Handler]] = {"": []}
        self.is_empty = True

    def connect(self, handler: Handler, *signals: str) -> None:
        """Call handler for each of signals; without any: for every one."""
        for name in signals or ("",):
            self._receivers.setdefault(name, []).append(handler)
        self.is_empty = False

    def disconnect(self, handler: Handler, *signals: str) -> None:
        """Call handler no longer for signals; without any: for none."""
        for name in signals or list(self._receivers):
            receivers = self._receivers.get(name, [])
            if handler in receivers:
                receivers.remove(handler)
        self.is_empty = not any(self._receivers.values())

    def send(self, signal: str, task: Any, *args: Any) -> None:
        """Call the receivers.  One that raises is logged and stops no other."""
        if self.is_empty:
            return
        for name in (signal, ""):
            for handler in tuple(self._receivers.get(name, ())):
                try:
                    handler(signal, task, *args)
                except Exception:
                    log.exception("signal %s: %r raised", signal, handler)
