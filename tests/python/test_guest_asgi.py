"""The tests of the ASGI face once more, as a guest of other loops."""

import pytest

import served
from guest_hosts import HOSTS
from test_asgi_http import *  # noqa: F403
from test_asgi_lifespan import *  # noqa: F403
from test_asgi_websocket import *  # noqa: F403


@pytest.fixture(params=HOSTS, autouse=True)
def host(request, monkeypatch):
    monkeypatch.setattr(served, "loop_factory_default", request.param)
