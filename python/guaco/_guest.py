"""A server inside an event loop that is not guaco's: asyncio's own, uvloop's.

The server keeps a loop of its own, of which the host runs one turn when its
descriptor is readable, when its next timer is due, and after something was set
from outside of a turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

from guaco import _core


_EAGER: dict[str, Any] = (
    {"eager_start": True} if sys.version_info >= (3, 12) else {}
)


class Guest:
    """The host's side of one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._core: _core.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None

    def attach(self, core: _core.Server) -> None:
        self._core = core
        self._loop.add_reader(core.fileno(), self._turn)
        self.wake()

    def detach(self) -> None:
        """Before the server is closed."""
        core, self._core = self._core, None
        if core is not None:
            self._loop.remove_reader(core.fileno())
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()

    def wake(self) -> None:
        """Run a turn soon; what the core calls."""
        if self._core is not None and self._soon is None:
            self._soon = self._loop.call_soon(self._turn)

    def spawn(self, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task whose first step runs at once, from Python 3.12 on."""
        return asyncio.Task(coro, loop=self._loop, **_EAGER)

    def _turn(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        core = self._core
        if core is None:
            return
        left = core.turn()
        if self._core is not core:  # a callback of the turn has detached us
            return
        if left == 0:
            self.wake()
        elif left > 0:
            self._timer = self._loop.call_later(left / 1000, self._turn)
