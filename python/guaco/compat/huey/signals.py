"""Signals: what happens to tasks, told as it happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

logger = logging.getLogger("huey.signals")

SIGNAL_CANCELED: Final = "canceled"
SIGNAL_COMPLETE: Final = "complete"
SIGNAL_ENQUEUED: Final = "enqueued"
SIGNAL_ERROR: Final = "error"
SIGNAL_EXECUTING: Final = "executing"
SIGNAL_EXPIRED: Final = "expired"
SIGNAL_INTERRUPTED: Final = "interrupted"
SIGNAL_LOCKED: Final = "locked"
SIGNAL_RATE_LIMITED: Final = "rate-limited"
SIGNAL_RETRYING: Final = "retrying"
SIGNAL_REVOKED: Final = "revoked"
SIGNAL_SCHEDULED: Final = "scheduled"
SIGNAL_TIMEOUT: Final = "timeout"

Receiver = Callable[..., Any]


class Signal:
    """Receivers by signal; "any" are those for all, called after the others."""

    __slots__ = ("receivers",)

    def __init__(self) -> None:
        self.receivers: dict[str, list[Receiver]] = {"any": []}

    def connect(self, receiver: Receiver, *signals: str) -> None:
        """Call receiver for each of signals, or for every one."""
        for name in signals or ("any",):
            self.receivers.setdefault(name, []).append(receiver)

    def disconnect(self, receiver: Receiver, *signals: str) -> None:
        """Call receiver no longer for signals; without any, for none."""
        for name in signals or tuple(self.receivers):
            receivers = self.receivers.get(name, [])
            if receiver in receivers:
                receivers.remove(receiver)

    def send(self, signal: str, task: Any, *args: Any, **kwargs: Any) -> None:
        """Call the receivers.  One that raises is logged and stops no other."""
        for name in (signal, "any"):
            for receiver in tuple(self.receivers.get(name, ())):
                try:
                    receiver(signal, task, *args, **kwargs)
                except Exception:
                    logger.exception("Error calling %r for %s", receiver, signal)
