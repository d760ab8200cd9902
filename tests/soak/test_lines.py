"""Line numbers: every instruction of the whole standard library, on every interpreter."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
from test_profile import VERSIONS, check_lines, find  # noqa: E402


@pytest.mark.parametrize("version", VERSIONS)
def test_no_line_differs_from_the_interpreters(version):
    python = find(version)
    if python is None:
        pytest.skip(f"no python{version} here")
    print(f"{version}: {check_lines(python, 1)} code objects")
