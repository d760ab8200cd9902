"""The loops that a server can be a guest of, for parametrised tests."""

import asyncio
import importlib.util

import pytest


def new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


HOSTS = [
    pytest.param(asyncio.SelectorEventLoop, id="asyncio"),
    pytest.param(
        new_uvloop,
        id="uvloop",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("uvloop") is None,
            reason="uvloop is not installed",
        ),
    ),
]
