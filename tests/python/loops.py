"""The standard library's loop and ours, for tests that hold for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

import guaco.loop

Factory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=["asyncio", "guaco"])
def factory(request: pytest.FixtureRequest) -> Factory:
    if request.param == "asyncio":
        return asyncio.SelectorEventLoop
    return guaco.loop.new_event_loop


@pytest.fixture
def loop(factory: Factory) -> Iterator[asyncio.AbstractEventLoop]:
    loop = factory()
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def turns(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    for _ in range(count):
        loop.call_soon(loop.stop)
        loop.run_forever()
