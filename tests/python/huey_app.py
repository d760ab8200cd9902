"""What the tests of guaco.compat.huey run: the same lines, by Huey or by us.

HUEY_STORE is "sqlite" (HUEY_FILE) or a class of Redis (HUEY_REDIS, a URL).
"""

import os
import signal

import huey as library

STORE = os.environ.get("HUEY_STORE", "sqlite")
if STORE == "sqlite":
    huey = library.SqliteHuey("app", filename=os.environ["HUEY_FILE"])
else:
    huey = getattr(library, STORE)("app", url=os.environ["HUEY_REDIS"])


@huey.task()
def add(a, b):
    return a + b


@huey.task(retries=1)
def fail():
    raise ValueError("no")


@huey.task()
def total(values):
    return sum(values)


@huey.task()
def die(path):
    """Kill the worker's process the first time."""
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@huey.task()
def poison(path):
    with open(path, "a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)


def whose() -> str:
    """The package that ``huey`` means here."""
    return library.Huey.__module__
