"""The producing process: `producer.py APP rate N`, `APP jobs N` or `APP latency COUNT GAP_SECONDS`.

`rate` prints the seconds and CPU seconds of N enqueues; `jobs` puts N no-ops
between two marks; `latency` puts COUNT stamps, GAP_SECONDS of idleness before
each.
"""

from __future__ import annotations

import importlib
import json
import sys
import time


def main() -> None:
    app = importlib.import_module(sys.argv[1])
    kind, count = sys.argv[2], int(sys.argv[3])
    if kind == "latency":
        for _ in range(count):
            time.sleep(float(sys.argv[4]))
            app.stamp(time.monotonic_ns())
        return
    app.mark("first")  # opens the connection, too
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        app.noop()
    print(json.dumps({"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
    app.mark("last")


if __name__ == "__main__":
    main()
