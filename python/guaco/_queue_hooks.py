"""What is called around the runs of a queue's tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from guaco._queue_errors import CancelExecution
from guaco._queue_run import log
from guaco._queue_signals import Handler, Signals

Hook = Callable[..., Any]
H = TypeVar("H", bound=Hook)


class Hooks:
    """The part of Queue that has hooks and signals."""

    def _init_hooks(self) -> None:
        self._signals = Signals()
        self._startup: dict[str, Hook] = {}
        self._shutdown: dict[str, Hook] = {}
        self._pre_execute: dict[str, Hook] = {}
        self._post_execute: dict[str, Hook] = {}

    def _call_hooks(self, hooks: dict[str, Hook], *args: Any) -> None:
        """Call them in order; one that raises stops no other.

        But CancelExecution passes: a pre_execute hook ends the run by it.
        """
        for name, hook in tuple(hooks.items()):
            try:
                hook(*args)
            except CancelExecution:
                raise
            except Exception:
                log.exception("hook %s raised", name)

    def _add_hook(
        self, hooks: dict[str, Hook], name: str | None
    ) -> Callable[[H], H]:
        def add(hook: H) -> H:
            hooks[name or str(getattr(hook, "__name__", repr(hook)))] = hook
            return hook

        return add

    def on_startup(self, name: str | None = None) -> Callable[[H], H]:
        """A function to call in each worker thread or process as it begins."""
        return self._add_hook(self._startup, name)

    def on_shutdown(self, name: str | None = None) -> Callable[[H], H]:
        """A function to call in each worker thread or process as it ends."""
        return self._add_hook(self._shutdown, name)

    def pre_execute(self, name: str | None = None) -> Callable[[H], H]:
        """``hook(task)`` before each run; CancelExecution there cancels it."""
        return self._add_hook(self._pre_execute, name)

    def post_execute(self, name: str | None = None) -> Callable[[H], H]:
        """``hook(task, value, exception)`` after each run."""
        return self._add_hook(self._post_execute, name)

    def remove_hook(self, name_or_hook: str | Hook) -> bool:
        """Call a hook no longer; False if it is none."""
        found = False
        for hooks in (
            self._startup,
            self._shutdown,
            self._pre_execute,
            self._post_execute,
        ):
            for name in [
                n for n, h in hooks.items() if name_or_hook in (n, h)
            ]:
                del hooks[name]
                found = True
        return found

    def signal(self, *signals: str) -> Callable[[H], H]:
        """``handler(signal, task[, exception])`` for signals, or for all."""

        def connect(handler: H) -> H:
            self._signals.connect(handler, *signals)
            return handler

        return connect

    def disconnect_signal(self, handler: Handler, *signals: str) -> None:
        """Undo signal(); without signals, for all of them."""
        self._signals.disconnect(handler, *signals)
