"""RQ's side: `rq worker`, which forks for each job, or SimpleWorker."""

import functools
import os

import marks
import redis
import rq

queue = rq.Queue(connection=redis.Redis.from_url(os.environ["BENCH_URL"]))
noop = functools.partial(queue.enqueue, marks.noop)
mark = functools.partial(queue.enqueue, marks.mark)
stamp = functools.partial(queue.enqueue, marks.stamp)
