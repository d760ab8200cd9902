"""Dramatiq's side: `dramatiq app_dramatiq`."""

import os

import dramatiq
import marks
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_URL"]))
noop = dramatiq.actor(marks.noop).send
mark = dramatiq.actor(marks.mark).send
stamp = dramatiq.actor(marks.stamp).send
