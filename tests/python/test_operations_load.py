"""A few of the reloads, upgrades and kills of tests/soak/test_operations_soak.py, in the
normal run."""

from __future__ import annotations

import importlib
import pathlib
import types

import pytest

SOAK = pathlib.Path(__file__).parents[1] / "soak"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(SOAK)
    return importlib.import_module("test_operations_soak")


def test_no_request_fails_over_two_rolling_reloads(
    tmp_path: pathlib.Path, exe: str, soak: types.ModuleType
) -> None:
    soak.run_reloads(tmp_path, exe, 2)


def test_no_request_fails_over_two_binary_upgrades(
    tmp_path: pathlib.Path, exe: str, soak: types.ModuleType
) -> None:
    soak.run_upgrades(tmp_path, exe, 2)


def test_three_killed_workers_fail_what_they_had_in_flight_alone(
    tmp_path: pathlib.Path, exe: str, soak: types.ModuleType
) -> None:
    soak.run_kills(tmp_path, exe, 3)
