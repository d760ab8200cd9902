"""``manage.py run_huey``: the consumer of a Django project."""

from __future__ import annotations

import argparse
import importlib
import logging
from typing import Any

from guaco.compat.huey.consumer_options import (
    ConsumerConfig,
    OptionParserHandler,
)

_management: Any = importlib.import_module("django.core.management.base")
_BaseCommand: Any = _management.BaseCommand
_TYPES = {"int": int, "float": float, "string": str}


class Command(_BaseCommand):  # type: ignore[misc]
    """The options of huey_consumer, but -V for its -v; and -A."""

    help = "Run the queue consumer"

    def add_arguments(self, parser: Any) -> None:
        """Huey's options, as argparse has them."""
        handler = OptionParserHandler()
        for flags, settings in (
            *handler.get_logging_options(),
            *handler.get_worker_options(),
            *handler.get_scheduler_options(),
        ):
            options = dict(settings)
            if "type" in options:
                options["type"] = _TYPES[options["type"]]
            if flags[0] == "-v":
                flags = ("-V", "--huey-verbose")
            options.setdefault("default", argparse.SUPPRESS)
            parser.add_argument(*flags, **options)
        parser.add_argument(
            "-A", "--disable-autoload", action="store_true",
            dest="disable_autoload",
            help="import no tasks.py of the installed applications",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it."""
        conf: Any = importlib.import_module("django.conf")
        from guaco.compat.huey.contrib.djhuey import HUEY

        known = set(ConsumerConfig._fields)
        found = getattr(conf.settings, "HUEY", None)
        values: dict[str, Any] = {}
        if isinstance(found, dict):
            values.update(found.get("consumer") or {})
        values.update({k: v for k, v in options.items() if k in known})
        if not options.get("disable_autoload"):
            loading: Any = importlib.import_module(
                "django.utils.module_loading"
            )
            loading.autodiscover_modules("tasks")
        config = ConsumerConfig(
            **{k: v for k, v in values.items() if k in known}
        )
        config.validate()
        if not logging.getLogger("huey").handlers:
            config.setup_logger(logging.getLogger("huey"))
        HUEY.create_consumer(**config.values).run()
