"""The options of the consumer, of a command line or of a program."""

from __future__ import annotations

import logging
import optparse
from typing import Any, NamedTuple

from guaco.compat.huey.constants import WORKER_THREAD, WORKER_TYPES

config_defaults = (
    ("workers", 1),
    ("worker_type", WORKER_THREAD),
    ("initial_delay", 0.1),
    ("backoff", 1.15),
    ("max_delay", 10.0),
    ("check_worker_health", True),
    ("health_check_interval", 10),
    ("scheduler_interval", 1),
    ("periodic", True),
    ("logfile", None),
    ("verbose", None),
    ("simple_log", None),
    ("flush_locks", False),
    ("extra_locks", None),
    ("max_tasks", None),
    ("shutdown_timeout", None),
    ("graceful_signal", "INT"),
)
config_keys = [name for name, _ in config_defaults]

Option = tuple[tuple[str, ...], dict[str, Any]]


def option(name: Any, **options: Any) -> Option:
    """The arguments of add_option()."""
    flags = name if isinstance(name, tuple) else (name,)
    return tuple(
        flag if flag.startswith("-")
        else ("-" if len(flag) == 1 else "--") + flag
        for flag in flags
    ), options


class OptionParserHandler:
    """Huey's options; subclass it to add some."""

    def get_worker_options(self) -> tuple[Option, ...]:
        """Of the workers."""
        return (
            option(("w", "workers"), type="int",
                   help="number of worker threads/processes (default=1)"),
            option(("k", "worker-type"), choices=WORKER_TYPES,
                   dest="worker_type",
                   help="worker execution model (thread, greenlet, process). "
                   "Processes are for work on the CPU, greenlets for I/O."),
            option(("d", "delay"), type="float", dest="initial_delay",
                   metavar="SECONDS",
                   help="minimum time to wait when polling (default=.1)"),
            option(("m", "max-delay"), type="float", dest="max_delay",
                   metavar="SECONDS",
                   help="maximum time to wait when polling (default=10)"),
            option(("b", "backoff"), type="float", dest="backoff",
                   metavar="FACTOR",
                   help="by which the wait grows while the queue is empty "
                   "(default=1.15, >= 1)"),
            option(("c", "health-check-interval"), type="float",
                   dest="health_check_interval", metavar="SECONDS",
                   help="time between health checks (default=10)"),
            option(("C", "disable-health-check"), action="store_false",
                   dest="check_worker_health",
                   help="restart no worker that has crashed"),
            option(("f", "flush-locks"), action="store_true",
                   dest="flush_locks",
                   help="clear all locks when starting"),
            option(("L", "extra-locks"), dest="extra_locks",
                   help="other locks to clear, separated by comma"),
            option(("M", "max-tasks"), type="int", dest="max_tasks",
                   metavar="COUNT",
                   help="restart a worker after COUNT tasks"),
            option(("t", "shutdown-timeout"), type="float",
                   dest="shutdown_timeout", metavar="SECONDS",
                   help="how long a graceful stop waits for tasks "
                   "(default=forever)"),
            option(("g", "graceful-signal"), choices=("INT", "TERM"),
                   dest="graceful_signal",
                   help="INT or TERM (default=INT); the other one interrupts "
                   "running tasks"),
        )

    def get_scheduler_options(self) -> tuple[Option, ...]:
        """Of the scheduler."""
        return (
            option(("s", "scheduler-interval"), type="int",
                   dest="scheduler_interval",
                   help="granularity of the scheduler in seconds"),
            option(("n", "no-periodic"), action="store_false",
                   dest="periodic", help="do NOT enqueue periodic tasks"),
        )

    def get_logging_options(self) -> tuple[Option, ...]:
        """Of the log."""
        return (
            option(("l", "logfile"), metavar="FILE"),
            option(("v", "verbose"), action="store_true", dest="verbose",
                   help="log at DEBUG"),
            option(("q", "quiet"), action="store_false", dest="verbose",
                   help="log at WARNING"),
            option(("S", "simple"), action="store_true", dest="simple_log",
                   help="log the time and the message alone"),
        )

    def get_option_parser(self) -> optparse.OptionParser:
        """A parser of all of them."""
        parser = optparse.OptionParser(
            "Usage: %prog [options] path.to.huey_instance"
        )
        for title, options in (
            ("Logging", self.get_logging_options()),
            ("Workers", self.get_worker_options()),
            ("Scheduler", self.get_scheduler_options()),
        ):
            group = parser.add_option_group(title, "")
            for flags, settings in options:
                group.add_option(*flags, **settings)
        return parser


class _ConsumerConfig(NamedTuple):
    workers: Any
    worker_type: Any
    initial_delay: Any
    backoff: Any
    max_delay: Any
    check_worker_health: Any
    health_check_interval: Any
    scheduler_interval: Any
    periodic: Any
    logfile: Any
    verbose: Any
    simple_log: Any
    flush_locks: Any
    extra_locks: Any
    max_tasks: Any
    shutdown_timeout: Any
    graceful_signal: Any


class ConsumerConfig(_ConsumerConfig):
    """The options of a consumer, those not given by default."""

    def __new__(cls, **kwargs: Any) -> ConsumerConfig:
        config = dict(config_defaults)
        unknown = set(kwargs) - set(config)
        if unknown:
            raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
        config.update(kwargs)
        return super().__new__(cls, **config)

    def validate(self) -> None:
        """ValueError when they cannot work."""
        if self.backoff < 1:
            raise ValueError("The backoff must be greater than 1.")
        if not 0 < self.scheduler_interval <= 60:
            raise ValueError("The scheduler must run at least once per minute, "
                             "and at most once per second (1-60).")
        if 60 % self.scheduler_interval != 0:
            raise ValueError("The scheduler interval must be a factor of 60.")
        if self.graceful_signal not in ("INT", "TERM"):
            raise ValueError("The graceful signal must be INT or TERM.")

    @property
    def loglevel(self) -> int:
        """The level of the log."""
        if self.verbose is None:
            return logging.INFO
        return logging.DEBUG if self.verbose else logging.WARNING

    def setup_logger(self, logger: logging.Logger | None = None) -> None:
        """Have the log go where the options say."""
        if self.worker_type == "process":
            worker = "%(process)d"
        else:
            worker = "%(threadName)s"
        form = f"[%(asctime)s] %(levelname)s:%(name)s:{worker}:%(message)s"
        when = None
        if self.simple_log:
            form, when = "%(asctime)s %(message)s", "%H:%M:%S"
        target = logging.getLogger() if logger is None else logger
        handler: logging.Handler = (
            logging.FileHandler(self.logfile)
            if self.logfile
            else logging.StreamHandler()
        )
        handler.setFormatter(logging.Formatter(form, when))
        target.addHandler(handler)
        target.setLevel(self.loglevel)

    @property
    def values(self) -> dict[str, Any]:
        """The arguments of Consumer()."""
        others = ("logfile", "verbose", "simple_log")
        return {k: v for k, v in self._asdict().items() if k not in others}
