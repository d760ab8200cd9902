"""The lifespan protocol of ASGI: once a server, around all requests."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

from guaco._interface import AsgiApp

_log = logging.getLogger("guaco.error")


class LifespanError(Exception):
    """The application failed to start; the text is for a person."""


class Lifespan:
    """Runs ``app`` with a lifespan scope, in a task of its own.

    ``mode`` is "on" (the application must speak it), "auto" (an application
    that raises before startup is complete is served without) or "off".
    ``state`` is what the application filled, or None when it does not speak
    the protocol; ``context`` is the context that it ran in.
    """

    def __init__(self, app: AsgiApp, mode: str) -> None:
        self._app = app
        self._mode = mode
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: str | None = None
        self._state: dict[str, Any] = {}
        self.state: dict[str, Any] | None = None
        self.context = contextvars.copy_context()

    async def startup(self) -> None:
        """Wait until the application is ready; LifespanError if it is not."""
        if self._mode == "off":
            return
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(
            self._run(), context=self.context
        )
        await self._started.wait()
        if self._failure is not None:
            raise LifespanError(self._failure)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Tell the application to end and wait for it, at most ``timeout``
        seconds."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            try:
                await asyncio.wait_for(self._stopped.wait(), timeout)
            except asyncio.TimeoutError:
                _log.error("the lifespan did not end in %s seconds", timeout)
        if not task.done():
            # What follows shutdown.complete is the application's to finish.
            await asyncio.wait([task], timeout=1.0)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as exc:
            self._failed(exc)
        finally:
            self._ended()

    def _failed(self, exc: Exception) -> None:
        if self._started.is_set():
            _log.error("exception in the lifespan", exc_info=exc)
        elif self._mode == "on":
            _log.error("exception in the lifespan's startup", exc_info=exc)
            self._failure = "the application's startup failed"
        else:
            _log.debug("served without lifespan: %r", exc)

    def _ended(self) -> None:
        if not self._started.is_set():
            if self._mode == "on" and self._failure is None:
                self._failure = "the application does not speak lifespan"
            self._started.set()
        self._stopped.set()

    async def _receive(self) -> dict[str, Any]:
        return await self._events.get()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.is_set():
            self.state = self._state
            self._started.set()
        elif kind == "lifespan.startup.failed" and not self._started.is_set():
            text = message.get("message", "")
            self._failure = text or "the application's startup failed"
            self._started.set()
        elif kind == "lifespan.shutdown.complete" and self._started.is_set():
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed" and self._started.is_set():
            _log.error(
                "the lifespan's shutdown failed: %s",
                message.get("message", ""),
            )
            self._stopped.set()
        else:
            raise RuntimeError(f"unexpected lifespan message {kind!r}")
