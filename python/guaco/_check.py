"""`guaco COMMAND --check-config`: load the target as a worker would.

    python -m guaco._check TARGET OPTIONS

OPTIONS is the object that workers receive.  Says what was found, exit code 0; or
prints why it cannot be served, exit code 3.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

from guaco._interface import TargetError, adapt, detect, import_target

EXIT_OK, EXIT_START_FAILURE = 0, 3


def describe_app(target: str, options: dict[str, Any]) -> str:
    """What the application of a gateway speaks."""
    app = import_target(target, options.get("app_dir") or ".")
    if options.get("factory"):
        app = app()
    chosen = options.get("interface") or "auto"
    interface: str = detect(app) if chosen == "auto" else chosen
    adapt(app)  # an object that cannot be called is refused here
    return f"{target} is an application of {interface.upper()}"


def describe_queues(target: str, options: dict[str, Any]) -> str:
    """The queues that would be run."""
    from guaco._taskworker import find_queues

    folder = os.path.abspath(options.get("app_dir") or ".")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    queues = find_queues(target, options.get("queue") or [])
    return "; ".join(f"queue {q.name} on {q.url}" for q in queues)


def main(target: str, text: str) -> int:
    """Load and describe; the exit code."""
    options: dict[str, Any] = json.loads(text)
    is_web = "interface" in options
    is_tasks = "worker_kind" in options
    found = []
    try:
        if is_web:
            found.append(describe_app(target, options))
        if is_tasks:
            found.append(describe_queues(target, options))
    except TargetError as exc:
        print(exc, file=sys.stderr)
        return EXIT_START_FAILURE
    except Exception:
        traceback.print_exc()
        return EXIT_START_FAILURE
    for line in found:
        print(line)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
