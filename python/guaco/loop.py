"""guaco.loop: an asyncio event loop in C over libuv.

    with asyncio.Runner(loop_factory=guaco.loop.new_event_loop) as runner:
        runner.run(main())

or, in one call, ``guaco.loop.run(main())``.

What runs for each callback, timer, ready descriptor or packet is C (LoopCore,
StreamIO); what runs once a connection, a subprocess or a loop is the standard library's code,
inherited, which also keeps the loop's behaviour the same as asyncio's from one
Python version to the next.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import selectors
import signal
import socket
import sys
import threading
import warnings
import weakref
from asyncio import base_events, coroutines, events, format_helpers
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from guaco._core import LoopCore
from guaco._stream import StreamTransports
from guaco._subprocess import PidfdSubprocesses

__all__ = ["Loop", "new_event_loop", "run"]

_T = TypeVar("_T")

# What the stubs of the standard library do not show.
_base: Any = base_events
_describe: Any = format_helpers._format_callback_source

# Newer versions want to be told of debug mode to describe the arguments.
_DESCRIBE_TAKES_DEBUG = "debug" in inspect.signature(_describe).parameters

_loops: weakref.WeakSet[Loop] = weakref.WeakSet()


class _Selector:
    """In place of the selector that the inherited code would own.

    Transports ask it what they wait for when they are printed.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fd: int) -> selectors.SelectorKey:
        """The registration of a descriptor; KeyError: there is none."""
        events = self._loop._fd_events(fd)
        if not events:
            raise KeyError(f"{fd} is not registered")
        return selectors.SelectorKey(fd, fd, events, None)

    def close(self) -> None:
        """Nothing: the C half closes what it has opened."""


class Loop(  # type: ignore[misc]
    LoopCore, StreamTransports, PidfdSubprocesses, asyncio.SelectorEventLoop
):
    """A full asyncio event loop.

    Not thread-safe but for call_soon_threadsafe(); one thread runs it.  A
    forked child must make its own: there, running this one is a RuntimeError.
    """

    # Of the standard library's loop; its stubs do not show them.
    _csock: socket.socket
    _signal_handlers: dict[int, asyncio.Handle]
    _check_running: Callable[[], None]
    _set_coroutine_origin_tracking: Callable[[bool], None]
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any

    def __init__(self) -> None:
        super().__init__(_Selector(self))  # type: ignore[arg-type]
        _loops.add(self)

    def __repr__(self) -> str:
        return (
            f"<{self.__class__.__module__}.{self.__class__.__qualname__} "
            f"running={self.is_running()} closed={self.is_closed()} "
            f"debug={self.get_debug()}>"
        )

    def run_forever(self) -> None:
        """Run until stop() is called."""
        self._check_closed()
        self._check_running()
        old_hooks = sys.get_asyncgen_hooks()
        old_wakeup_fd = self._enter_signals()
        try:
            self._set_coroutine_origin_tracking(self._debug)
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)
            self._run()
        finally:
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            sys.set_asyncgen_hooks(*old_hooks)
            self._leave_signals(old_wakeup_fd)

    def close(self) -> None:
        """Drop what is scheduled and close the loop.

        RuntimeError while it runs, or while a server lives in it.
        """
        if not self.is_closed():
            self._check_closable()
        was_closed = self.is_closed()
        super().close()
        if not was_closed:
            self._release()

    # ---- signals: a handler of Python's runs only between two bytecodes, so
    # that a signal must end the wait of the loop, by the wake-up descriptor.

    def _enter_signals(self) -> int | None:
        """Have signals wake the loop; the old descriptor, None: not ours."""
        if threading.current_thread() is not threading.main_thread():
            return None
        try:
            return signal.set_wakeup_fd(
                self._csock.fileno(), warn_on_full_buffer=False
            )
        except ValueError:  # a subinterpreter
            return None

    def _leave_signals(self, old_fd: int | None) -> None:
        if old_fd is None or self._signal_handlers:
            return
        try:
            signal.set_wakeup_fd(old_fd)
        except (ValueError, OSError):  # the old one was closed meanwhile
            signal.set_wakeup_fd(-1)

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove a handler; whether there was one."""
        was_set = super().remove_signal_handler(sig)
        if was_set and self.is_running():
            self._enter_signals()
        return was_set

    # ---- what the C half calls when something is not as it should be

    def _is_coroutine(self, callback: object) -> bool:
        return asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(
            callback
        )

    def _callback_failed(
        self,
        handle: Any,
        callback: Callable[..., object],
        args: tuple[object, ...],
        exc: BaseException,
    ) -> None:
        if handle is None:
            handle = asyncio.Handle(callback, args, self)
        keywords = {"debug": self._debug} if _DESCRIBE_TAKES_DEBUG else {}
        source = _describe(handle._callback, handle._args, **keywords)
        context: dict[str, Any] = {
            "message": f"Exception in callback {source}",
            "exception": exc,
            "handle": handle,
        }
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _slow_callback(self, handle: object, duration: float) -> None:
        if duration >= self.slow_callback_duration:
            _base.logger.warning(
                "Executing %s took %.3f seconds",
                _base._format_handle(handle),
                duration,
            )


def _abandon_all() -> None:
    for loop in list(_loops):
        loop._abandon()


os.register_at_fork(after_in_child=_abandon_all)


def new_event_loop() -> Loop:
    """A new Loop: what asyncio.Runner and asyncio.run take as loop_factory."""
    return Loop()


def run(
    main: Coroutine[Any, Any, _T], *, debug: bool | None = None
) -> _T:
    """Run a coroutine to its end in a new Loop, as asyncio.run does."""
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)


def __getattr__(name: str) -> Any:
    # Policies warn from 3.14 on and are gone in 3.16: the class is made when
    # somebody asks for it.
    if name != "EventLoopPolicy" or sys.version_info >= (3, 16):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        base = asyncio.DefaultEventLoopPolicy

    class EventLoopPolicy(base):  # type: ignore[valid-type,misc]
        """A policy whose new_event_loop() gives a Loop."""

        _loop_factory = Loop

    globals()[name] = EventLoopPolicy
    return EventLoopPolicy
