"""The executable under test, found as in tests/python/conftest.py."""

import os
import shutil

import pytest


@pytest.fixture
def exe() -> str:
    """GUACO_EXE, else the guaco on PATH."""
    found = os.environ.get("GUACO_EXE") or shutil.which("guaco")
    if found is None:
        pytest.fail("no guaco executable: set GUACO_EXE or build first")
    return found
