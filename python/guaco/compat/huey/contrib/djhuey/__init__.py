"""Huey in a Django project: ``settings.HUEY`` says which."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from guaco.compat.huey._huey import Huey
from guaco.compat.huey.api import crontab as crontab
from guaco.compat.huey.exceptions import ConfigurationError
from guaco.compat.huey.utils import load_class

_conf: Any = importlib.import_module("django.conf")
_db: Any = importlib.import_module("django.db")
_core: Any = importlib.import_module("django.core.exceptions")

_OLD_KEYS = ("backend_class", "huey")


def _default_name(settings: Any) -> str:
    try:
        name = settings.DATABASE_NAME
    except AttributeError:
        try:
            name = str(settings.DATABASES["default"]["NAME"])
        except (AttributeError, KeyError):
            return "huey"
    return name.replace("/", "-") or "huey"


def _class_of(name: str) -> Any:
    """A class by its dotted path, also one of huey's by ``huey.X``."""
    if name.startswith("huey."):
        name = f"guaco.compat.{name}"
    return load_class(name)


def _from_dict(config: dict[str, Any], settings: Any) -> Any:
    """The Huey that a dict of settings describes."""
    options = dict(config)
    for key in _OLD_KEYS:
        options.pop(key, None)
    options.pop("consumer", None)
    name = options.pop("name", None) or _default_name(settings)
    cls = _class_of(options.pop("huey_class", "huey.RedisHuey"))
    connection = dict(options.pop("connection", None) or {})
    if "connection_pool" in options:
        connection["connection_pool"] = options.pop("connection_pool")
    if "url" in options:
        connection["url"] = options.pop("url")
    options.setdefault("immediate", bool(getattr(settings, "DEBUG", False)))
    options.pop("always_eager", None)
    return cls(name, **options, **connection)


def _huey_of(settings: Any) -> Any:
    found = getattr(settings, "HUEY", None)
    if found is None:
        found = {}
    if isinstance(found, Huey):
        return found
    if isinstance(found, dict):
        return _from_dict(found, settings)
    if hasattr(found, "storage") and hasattr(found, "enqueue"):
        return found
    raise ConfigurationError("settings.HUEY is a Huey or a dict, not "
                             f"{type(found).__name__}")


HUEY: Any = _huey_of(_conf.settings)

task = HUEY.task
periodic_task = HUEY.periodic_task
context_task = HUEY.context_task
lock_task = HUEY.lock_task
rate_limit = HUEY.rate_limit
enqueue = HUEY.enqueue
restore = HUEY.restore
restore_all = HUEY.restore_all
restore_by_id = HUEY.restore_by_id
revoke = HUEY.revoke
revoke_all = HUEY.revoke_all
revoke_by_id = HUEY.revoke_by_id
is_revoked = HUEY.is_revoked
result = HUEY.result
scheduled = HUEY.scheduled
on_startup = HUEY.on_startup
on_shutdown = HUEY.on_shutdown
pre_execute = HUEY.pre_execute
post_execute = HUEY.post_execute
signal = HUEY.signal
disconnect_signal = HUEY.disconnect_signal


def close_db(fn: Callable[..., Any]) -> Callable[..., Any]:
    """fn, with old database connections closed around it."""

    @functools.wraps(fn)
    def inner(*args: Any, **kwargs: Any) -> Any:
        if not HUEY.immediate:
            _db.close_old_connections()
        try:
            return fn(*args, **kwargs)
        finally:
            if not HUEY.immediate:
                _db.close_old_connections()

    return inner


def _with_db(
    decorate: Callable[..., Any], *args: Any, **kwargs: Any
) -> Callable[[Callable[..., Any]], Any]:
    def decorator(fn: Callable[..., Any]) -> Any:
        wrapper = decorate(*args, **kwargs)(close_db(fn))
        wrapper.call_local = fn
        return wrapper

    return decorator


def db_task(*args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
    """As task(), for functions that use the database."""
    return _with_db(HUEY.task, *args, **kwargs)


def db_periodic_task(
    *args: Any, **kwargs: Any
) -> Callable[[Callable[..., Any]], Any]:
    """As periodic_task(), for functions that use the database."""
    return _with_db(HUEY.periodic_task, *args, **kwargs)


def on_commit_task(
    *args: Any, **kwargs: Any
) -> Callable[[Callable[..., Any]], Any]:
    """As db_task(), but a call is enqueued when the transaction commits; its
    result handle is given at once."""

    def decorator(fn: Callable[..., Any]) -> Any:
        wrapper = db_task(*args, **kwargs)(fn)

        @functools.wraps(fn)
        def inner(*a: Any, **k: Any) -> Any:
            call = wrapper.s(*a, **k)
            _db.transaction.on_commit(lambda: HUEY.enqueue(call))
            return HUEY._result_handle(call) if HUEY.results else None

        for name in (
            "call_local", "huey", "is_revoked", "map", "restore", "revoke",
            "s", "schedule", "task_class", "unregister",
        ):
            setattr(inner, name, getattr(wrapper, name))
        return inner

    return decorator
