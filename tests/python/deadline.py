"""How long tests wait for what must come.

One figure for all: a wait that ends when its state comes costs nothing, however
late its deadline is, and a machine that does much else may be slow.
"""

import os
import select

DEADLINE_S = 60.0

# result(*WAIT): blocking, the deadline.
WAIT = True, DEADLINE_S


def wait_gone(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(fd):
        assert select.select([fd], [], [], DEADLINE_S)[0], f"{pid} lives on"
