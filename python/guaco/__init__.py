"""Guaco: one native runtime for Python backends."""

from guaco._core import Error, __version__

__all__ = ["Error", "__version__"]
