"""Huey's own tests, run against guaco.compat.huey: see huey_suite.sh.

huey_suite.py FOLDER [MODULE...]: FOLDER holds Huey's source with its tests.
REDIS_PORT is a server that may be emptied, HUEY_PG_DSN a database.  Prints a
line for each module and what failed; exits with 1 if anything did.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
import types
import unittest

from guaco.compat.huey import _alias

NEEDS = {
    "test_django_tasks": "django",
    "test_mini": "gevent",
    "test_sql_huey": "peewee",
    "test_stats": "peewee",
    "test_wrappers": "redis",
    "test_helpers": "redis",
}


def use_redis(port: int) -> None:
    """Have the tests' clients, which name no server, go to ours."""
    try:
        redis = importlib.import_module("redis")
    except ImportError:
        return
    connect = redis.Redis.__init__

    def init(self, *args, **kwargs):
        if not args and not {"connection_pool", "host", "port"} & set(kwargs):
            kwargs["port"] = port
        connect(self, *args, **kwargs)

    redis.Redis.__init__ = init


def tests_of(folder: pathlib.Path, names: list[str]) -> dict[str, object]:
    """The test modules by name; a text says why one is not there."""
    package = types.ModuleType("huey.tests")
    package.__path__ = [str(folder)]
    sys.modules["huey.tests"] = package
    found: dict[str, object] = {}
    for path in sorted(folder.glob("test_*.py")):
        name = path.stem
        if names and name not in names:
            continue
        need = NEEDS.get(name)
        try:
            if need is not None:
                importlib.import_module(need)
            found[name] = importlib.import_module(f"huey.tests.{name}")
        except ImportError as exc:
            found[name] = f"not run: {exc}"
    return found


def main(source: str, *names: str) -> int:
    os.environ["HUEY_SLOW_TESTS"] = "1"
    if port := os.environ.get("REDIS_PORT"):
        use_redis(int(port))
    _alias.install()
    modules = tests_of(pathlib.Path(source) / "huey" / "tests", list(names))
    total = [0, 0, 0]
    for name, module in modules.items():
        if isinstance(module, str):
            print(f"{name:20} {module}")
            continue
        suite = unittest.defaultTestLoader.loadTestsFromModule(module)
        # Imported base classes would be counted once a module.
        result = unittest.TextTestRunner(open(os.devnull, "w")).run(suite)
        bad = result.failures + result.errors
        row = (
            result.testsRun - len(result.skipped) - len(bad),
            len(bad),
            len(result.skipped),
        )
        total = [a + b for a, b in zip(total, row, strict=True)]
        print("{:20} {:4} passed {:3} failed {:3} skipped".format(name, *row))
        for test, text in bad:
            print(f"  {test.id()}\n{text}")
    print("{:20} {:4} passed {:3} failed {:3} skipped".format("all", *total))
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
