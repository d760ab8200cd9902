"""Celery's side, acknowledging late so that a killed worker loses nothing: `celery -A app_celery worker`."""

import os

import marks
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_URL"])
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)
noop = app.task(marks.noop, name="noop").delay
mark = app.task(marks.mark, name="mark").delay
stamp = app.task(marks.stamp, name="stamp").delay
