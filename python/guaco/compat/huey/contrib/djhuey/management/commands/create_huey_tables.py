"""``manage.py create_huey_tables``: for a storage with create_tables=False."""

from __future__ import annotations

import importlib
from typing import Any

_management: Any = importlib.import_module("django.core.management.base")
_BaseCommand: Any = _management.BaseCommand


class Command(_BaseCommand):  # type: ignore[misc]
    """Make the tables of the storage of settings.HUEY."""

    help = "Create the tables of huey's storage"

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them, if the storage has some."""
        from guaco.compat.huey.contrib.djhuey import HUEY

        make = getattr(HUEY.storage, "initialize_schema", None)
        if make is None:
            kind = type(HUEY.storage).__name__
            raise _management.CommandError(f"{kind} has no tables")
        make()
        self.stdout.write("Created the tables of huey's storage.")
