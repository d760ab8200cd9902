"""What classes.toml names exists."""

import pathlib
import tomllib

from .suite import cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = tomllib.loads(pathlib.Path(__file__).with_name("classes.toml").read_text())


def test_every_class_has_its_tests() -> None:
    known = {case.id for case in cases(True)}
    for row in CLASSES["class"]:
        named = row.get("cases", [])
        assert named or row.get("tests"), row["what"]
        assert known.issuperset(named), (row["what"], set(named) - known)
        for test in row.get("tests", []):
            file, name = test.split(" ")
            assert f"{name}(" in (ROOT / file).read_text(), test


def test_every_refused_request_is_of_a_class() -> None:
    of_a_class = {i for row in CLASSES["class"] for i in row.get("cases", [])}
    refused = {case.id for case in cases(True) if case.run.__qualname__.startswith("refuse")}
    assert sorted(refused - of_a_class) == []
