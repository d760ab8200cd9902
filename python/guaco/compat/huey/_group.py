"""Several tasks as one: groups, and chords, which a callback follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from guaco.compat.huey._task import Task, TaskWrapper


class group:
    """Tasks that are enqueued together."""

    def __init__(self, tasks: Iterable[Any]) -> None:
        self.tasks = tasks

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tasks)

    def then(self, task: Any, *args: Any, **kwargs: Any) -> chord:
        """A chord: task gets the list of their values."""
        if isinstance(task, TaskWrapper):
            task = task.s(*args, **kwargs)
        else:
            task.extend_data(args)
            task.extend_data(kwargs)
        return chord(self.tasks, task)

    def error(self, *args: Any, **kwargs: Any) -> group:
        """Task.error() for each of them."""
        self.tasks = list(self.tasks)
        for task in self.tasks:
            task.error(*args, **kwargs)
        return self


class chord:
    """Tasks, and a callback that gets the list of their values in order.

    A member that failed is an ``Error`` there, one that was not run
    ``SKIPPED``.
    """

    def __init__(self, tasks: Iterable[Any], callback: Any) -> None:
        self.tasks = list(tasks)
        for task in self.tasks:
            if not isinstance(task, (Task, chord)):
                raise ValueError("chord members must be tasks or chords, not "
                                 f"{type(task).__name__}")
        self.callback: Task = (
            callback.s() if isinstance(callback, TaskWrapper) else callback
        )

    def then(self, task: Any, *args: Any, **kwargs: Any) -> chord:
        """Task.then() of the callback."""
        self.callback.then(task, *args, **kwargs)
        return self

    def error(self, task: Any, *args: Any, **kwargs: Any) -> chord:
        """Task.error() of the callback."""
        self.callback.error(task, *args, **kwargs)
        return self
