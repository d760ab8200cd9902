"""Huey's side: `huey_consumer app_huey.huey`."""

import os

import marks
from huey import RedisHuey, SqliteHuey

URL = os.environ["BENCH_URL"]
if URL.startswith("sqlite:"):
    path, _, query = URL.removeprefix("sqlite:///").partition("?")
    huey = SqliteHuey(filename=path, fsync="full" in query)
else:
    huey = RedisHuey(url=URL)
noop = huey.task()(marks.noop)
mark = huey.task()(marks.mark)
stamp = huey.task()(marks.stamp)
