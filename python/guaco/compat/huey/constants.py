"""The kinds of worker, and what "there is no such key" is."""

from __future__ import annotations

from typing import Final

WORKER_THREAD: Final = "thread"
WORKER_GREENLET: Final = "greenlet"
WORKER_PROCESS: Final = "process"
WORKER_TYPES: Final = (WORKER_THREAD, WORKER_GREENLET, WORKER_PROCESS)


class EmptyData:
    """Stands for "nothing there"; the class itself, compared with ``is``."""
