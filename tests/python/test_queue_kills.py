"""Twenty of the kills of tests/soak/test_kills.py, in the normal run."""

from __future__ import annotations

import importlib
import pathlib

import pytest

SOAK = pathlib.Path(__file__).parents[1] / "soak"


def test_no_promised_task_is_lost_by_twenty_kills(
    tmp_path: pathlib.Path, exe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SOAK)
    importlib.import_module("test_kills").run(tmp_path, exe, 20)
