"""The command ``huey_consumer``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from guaco.compat.huey.consumer_options import (
    ConsumerConfig,
    OptionParserHandler,
)
from guaco.compat.huey.utils import load_class


def err(s: str) -> None:
    """Say s on stderr."""
    print(s, file=sys.stderr)


def load_huey(path: str) -> Any:
    """The Huey that the dotted path names; exits with 1 when there is none.

    ``module:attribute`` is taken too.
    """
    dotted = path.replace(":", ".")
    try:
        return load_class(dotted)
    except (ImportError, AttributeError, ValueError):
        folder = os.getcwd()
        if folder not in sys.path:
            sys.path.insert(0, folder)
            return load_huey(path)
        err(f"Error importing {path}")
        traceback.print_exc()
        sys.exit(1)


def consumer_main(arguments: Sequence[str] | None = None) -> None:
    """Run a consumer, as the command line says."""
    parser = OptionParserHandler().get_option_parser()
    options, words = parser.parse_args(
        None if arguments is None else list(arguments)
    )
    if not words:
        err("Error:   missing import path to `Huey` instance")
        err("Example: huey_consumer.py app.queue.huey_instance")
        sys.exit(1)
    given = {k: v for k, v in options.__dict__.items() if v is not None}
    config = ConsumerConfig(**given)
    try:
        config.validate()
    except ValueError as exc:
        parser.error(str(exc))
    huey = load_huey(words[0])
    # Set the log up behind the import, which may do so itself.
    config.setup_logger()
    huey.create_consumer(**config.values).run()


if __name__ == "__main__":
    consumer_main()
