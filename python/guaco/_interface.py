"""What an application speaks, and how it is brought into one form."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class TargetError(Exception):
    """The target names no application; the text says why."""


def import_target(target: str, app_dir: str | None = None) -> Any:
    """The object that ``package.module:attribute`` names.

    ``demo.app`` is accepted for ``demo:app`` when there is no such module.
    TargetError when the name is wrong; what the module raises comes through.
    """
    if app_dir is not None:
        folder = os.path.abspath(app_dir)
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module_name, colon, attributes = target.partition(":")
    if not colon and "." in module_name and not _module_exists(module_name):
        module_name, _, attributes = module_name.rpartition(".")
    if not module_name:
        raise TargetError(f"{target!r} is not of the form module:attribute")
    found = _import(module_name, target)
    for name in (attributes or "app").split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetError(
                f"{target!r}: module {module_name!r} has no {name!r}"
            ) from None
    return found


def _module_exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # One that the application fails to import is the application's error.
        if exc.name is None or not (name + ".").startswith(exc.name + "."):
            raise
        raise TargetError(
            f"{target!r}: there is no module {exc.name!r} in sys.path"
        ) from None


def detect(app: Any) -> str:
    """``"asgi"`` or ``"wsgi"``, by what the callable looks like.

    A coroutine function is ASGI; a class is ASGI 2; otherwise two positional
    arguments are WSGI's, one or three ASGI's.
    """
    if _is_async(app) or inspect.isclass(app):
        return "asgi"
    count = _required_arguments(app)
    return "wsgi" if count == 2 else "asgi"


def adapt(app: Any) -> AsgiApp:
    """An async callable of (scope, receive, send), whatever ``app`` is.

    Coroutine functions come back as they are; ASGI 2 applications, and plain
    callables that return an awaitable, are called inside of the request's
    task.
    """
    if not callable(app):
        raise TargetError(f"{app!r} is not callable")
    if _is_async(app):
        asgi: AsgiApp = app
        return asgi
    if inspect.isclass(app) or _required_arguments(app) == 1:

        async def double(scope: Any, receive: Any, send: Any) -> Any:
            return await app(scope)(receive, send)

        return double

    async def single(scope: Any, receive: Any, send: Any) -> Any:
        return await app(scope, receive, send)

    return single


def _is_async(app: Any) -> bool:
    if inspect.iscoroutinefunction(app):
        return True
    if inspect.isclass(app) or inspect.isfunction(app):
        return False
    return inspect.iscoroutinefunction(getattr(app, "__call__", None))


def _required_arguments(app: Any) -> int | None:
    """Positional arguments without a default; None when that is unknown."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(1 for p in positional if p.default is p.empty)
