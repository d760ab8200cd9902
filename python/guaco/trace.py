"""W3C trace context, carried from who enqueues to who runs.

A task takes the ``traceparent`` of where it was enqueued along, and where it
runs that is the current one again: for what it enqueues, for current(), and
for OpenTelemetry, if the program uses it.  Without OpenTelemetry set it where
a request begins:

    with guaco.trace.use(request.headers.get("traceparent")):
        ...
"""

from __future__ import annotations

import contextlib
import contextvars
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["current", "use"]

_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(-.*)?",
    re.ASCII,
)
_FIELDS = ("traceparent", "tracestate", "baggage")
_BYTES_MAX = 4096
"""Of a field that is carried; a longer one is left out."""

_current: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "guaco_traceparent", default=None
)


def _checked(value: object) -> str | None:
    """The traceparent, if it is one."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str) or len(value) > _BYTES_MAX:
        return None
    text = value.strip()
    found = _FORM.fullmatch(text)
    if found is None or (text.startswith("00") and found.group(1)):
        return None
    return text


def _telemetry(name: str) -> Any:
    """A module of OpenTelemetry, if the program has imported it."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    import importlib

    try:
        return importlib.import_module(f"opentelemetry.{name}")
    except ImportError:
        return None


def may_be() -> bool:
    """False: headers() would give nothing; for the way of every task."""
    return _current.get() is not None or "opentelemetry.trace" in sys.modules


def headers() -> dict[str, str]:
    """What a task that is enqueued here takes along."""
    found: dict[str, str] = {}
    propagate = _telemetry("propagate")
    if propagate is not None:
        propagate.inject(found)
        found = {
            k: v
            for k, v in found.items()
            if k in _FIELDS and isinstance(v, str) and len(v) <= _BYTES_MAX
        }
    if "traceparent" not in found:
        here = _current.get()
        if here is not None:
            found["traceparent"] = here
    return found


def current() -> str | None:
    """The ``traceparent`` of what runs here; None without one."""
    return headers().get("traceparent")


@contextlib.contextmanager
def use(traceparent: str | bytes | None) -> Iterator[None]:
    """Make traceparent the current one; one that is malformed is none."""
    token = _current.set(_checked(traceparent))
    try:
        yield
    finally:
        _current.reset(token)


class Entered:
    """The context of a run, from its begin to its end."""

    __slots__ = ("_token", "_attached")

    def __init__(self, carried: Mapping[str, Any] | None) -> None:
        value = None if carried is None else _checked(carried.get("traceparent"))
        self._token = _current.set(value)
        self._attached: Any = None
        propagate = _telemetry("propagate")
        context = _telemetry("context")
        if propagate is not None and context is not None:
            fields = {k: carried[k] for k in _FIELDS if carried and k in carried}
            # Extracted into an empty one: nothing of the worker's own is left.
            around = context.Context()
            self._attached = context.attach(
                propagate.extract(fields, context=around)
            )

    def leave(self) -> None:
        """Make the context before it current again."""
        if self._attached is not None:
            context = _telemetry("context")
            context.detach(self._attached)
        _current.reset(self._token)
