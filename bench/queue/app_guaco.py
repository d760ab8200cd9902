"""Guaco's side: `guaco work app_guaco:queue`."""

import os

import guaco
import marks

queue = guaco.Queue(os.environ["BENCH_URL"])
noop = queue.task()(marks.noop)
mark = queue.task()(marks.mark)
stamp = queue.task()(marks.stamp)
