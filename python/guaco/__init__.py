"""Guaco: one native runtime for Python backends."""

from typing import TYPE_CHECKING, Any

from guaco._core import ClientDisconnected, Error, __version__

if TYPE_CHECKING:
    from guaco._run import run
    from guaco._server import Server

__all__ = ["ClientDisconnected", "Error", "Server", "__version__", "run"]

# What brings asyncio with it is imported when somebody asks for it.
_LAZY = {"Server": "guaco._server", "run": "guaco._run"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
