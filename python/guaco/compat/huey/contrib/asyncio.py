"""Results on an event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from guaco.compat.huey.constants import EmptyData
from guaco.compat.huey.exceptions import ResultTimeout, TaskException
from guaco.compat.huey.utils import Error


async def aget_result(
    res: Any,
    backoff: float = 1.15,
    max_delay: float = 1.0,
    preserve: bool = False,
    timeout: float | None = None,
) -> Any:
    """The value of a Result; ResultTimeout after timeout seconds."""
    end = None if timeout is None else time.monotonic() + timeout
    delay = 0.01
    while True:
        value = res._get(preserve)
        if value is not EmptyData:
            break
        if end is not None and time.monotonic() >= end:
            raise ResultTimeout("timed out waiting for result")
        left = delay if end is None else min(delay, end - time.monotonic())
        await asyncio.sleep(max(0.0, left))
        delay = min(delay * backoff, max_delay)
    if isinstance(value, Error):
        raise TaskException(value.metadata)
    return value


async def aget_result_group(rg: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """The values of a ResultGroup, in order."""
    waiting = [aget_result(result, *args, **kwargs) for result in rg]
    return list(await asyncio.gather(*waiting))
