"""``import huey`` as ``guaco.compat.huey``, for programs that stay as they
are."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

_HERE = __name__.rpartition(".")[0]


class _Loader(importlib.abc.Loader):
    """Gives the module of ours that a name means."""

    def __init__(self, ours: str) -> None:
        self._ours = ours

    def create_module(
        self, spec: importlib.machinery.ModuleSpec
    ) -> types.ModuleType:
        module = importlib.import_module(self._ours)
        # What importlib writes into the module is put back by exec_module.
        self._kept = {
            name: getattr(module, name, None)
            for name in ("__spec__", "__loader__", "__package__", "__path__")
        }
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        for name, value in self._kept.items():
            if value is not None:
                setattr(module, name, value)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``huey`` and all below it here, but for ``huey.tests``."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        head, _, rest = fullname.partition(".")
        if head != "huey" or rest.partition(".")[0] == "tests":
            return None
        ours = f"{_HERE}.{rest}" if rest else _HERE
        try:
            if importlib.util.find_spec(ours) is None:
                return None
        except ModuleNotFoundError:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(ours))


def install() -> None:
    """From now on ``import huey`` means ``guaco.compat.huey``.

    RuntimeError when another ``huey`` is imported already.
    """
    importlib.import_module(_HERE)
    present = sys.modules.get("huey")
    if present is not None and present is not sys.modules[_HERE]:
        raise RuntimeError("another huey is imported already")
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    importlib.import_module("huey")
