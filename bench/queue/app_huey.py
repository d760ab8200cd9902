"""Huey's side: `huey_consumer app_huey.huey`."""

import os

import marks
from huey import RedisHuey, SqliteHuey

URL = os.environ["BENCH_URL"]
huey = (SqliteHuey(filename=URL.removeprefix("sqlite:///"), fsync=False) if URL.startswith("sqlite:")
        else RedisHuey(url=URL))
noop = huey.task()(marks.noop)
mark = huey.task()(marks.mark)
stamp = huey.task()(marks.stamp)
