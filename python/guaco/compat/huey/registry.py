"""Which tasks there are, and tasks as the messages that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from guaco.compat.huey.exceptions import HueyException
from guaco.compat.huey.utils import ChordConfig

if TYPE_CHECKING:
    from guaco.compat.huey.api import PeriodicTask, Task


class Message(NamedTuple):
    """A task as it is stored, in Huey's order; what an older Huey did not
    write is None."""

    id: Any = None
    name: Any = None
    eta: Any = None
    retries: Any = None
    retry_delay: Any = None
    priority: Any = None
    args: Any = None
    kwargs: Any = None
    on_complete: Any = None
    on_error: Any = None
    expires: Any = None
    expires_resolved: Any = None
    timeout: Any = None
    chord_config: Any = None
    retry_backoff: Any = None


class Registry:
    """Task classes by their names."""

    def __init__(self) -> None:
        self._registry: dict[str, type[Task]] = {}
        self._periodic_tasks: list[type[PeriodicTask]] = []

    def task_to_string(self, task_class: type[Task]) -> str:
        """``module.name``, by which a task is stored."""
        return f"{task_class.__module__}.{task_class.__name__}"

    def register(self, task_class: type[Task]) -> bool:
        """Add a class; ValueError when the name is taken."""
        name = self.task_to_string(task_class)
        if name in self._registry:
            raise ValueError(f"Attempting to register a task with the same "
                             f"identifier as an existing task: {name}")
        self._registry[name] = task_class
        if hasattr(task_class, "validate_datetime"):
            self._periodic_tasks.append(cast("type[PeriodicTask]", task_class))
        return True

    def unregister(self, task_class: type[Task]) -> bool:
        """Forget a class; False if it is not known."""
        if self._registry.pop(self.task_to_string(task_class), None) is None:
            return False
        if hasattr(task_class, "validate_datetime"):
            self._periodic_tasks = [
                t for t in self._periodic_tasks if t is not task_class
            ]
        return True

    def string_to_task(self, task_str: str) -> type[Task]:
        """The class of a name; HueyException when there is none."""
        try:
            return self._registry[task_str]
        except KeyError:
            raise HueyException(f"{task_str} not found in TaskRegistry") from None

    def create_message(self, task: Task) -> Message:
        """A task as it is stored."""
        name = self.task_to_string(type(task))
        if name not in self._registry:
            raise HueyException(f"{name} not found in TaskRegistry")
        kwargs = task.kwargs
        if kwargs and kwargs.get("task") is task:
            kwargs = {k: v for k, v in kwargs.items() if k != "task"}
        chord = None
        if task.chord_config is not None:
            config = task.chord_config
            callback = self.create_message(config.callback)
            chord = (config.cid, config.size, config.idx, callback)
        return Message(
            task.id,
            name,
            task.eta,
            task.retries,
            task.retry_delay,
            task.priority,
            task.args,
            kwargs,
            None if task.on_complete is None
            else self.create_message(task.on_complete),
            None if task.on_error is None
            else self.create_message(task.on_error),
            task.expires,
            task.expires_resolved,
            task.timeout,
            chord,
            task.retry_backoff,
        )

    def create_task(self, message: Message) -> Task:
        """The task of a message; HueyException when its class is unknown."""
        cls = self.string_to_task(message.name)
        chord = None
        if message.chord_config is not None:
            cid, size, idx, callback = message.chord_config
            chord = ChordConfig(cid, size, idx, self.create_task(callback))
        return cls(
            message.args,
            message.kwargs,
            message.id,
            message.eta,
            message.retries,
            message.retry_delay,
            message.priority,
            message.expires,
            message.on_complete and self.create_task(message.on_complete),
            message.on_error and self.create_task(message.on_error),
            message.expires_resolved,
            message.timeout,
            chord,
            message.retry_backoff,
        )

    @property
    def periodic_tasks(self) -> list[PeriodicTask]:
        """A new instance of each periodic task."""
        return [task_class() for task_class in self._periodic_tasks]
