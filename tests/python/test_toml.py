"""The TOML reader against tomllib: the same documents are accepted, with the same values.

The documents are the fuzz target's corpus and some thousand mutations of it.
"""

import datetime
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from conftest import guaco_exe

ROOT = pathlib.Path(__file__).parents[2]
CORPUS = sorted((ROOT / "fuzz" / "corpus" / "toml").iterdir())
INT64 = range(-(2**63), 2**63)
MUTATIONS = 3000
# From Python 3.15 on tomllib takes what TOML 1.1 added, as `\e` in a string, and so
# says nothing about what we refuse.
TOMLLIB_IS_1_1 = sys.version_info >= (3, 15)


@pytest.fixture(scope="session")
def toml_dump() -> pathlib.Path:
    """The test program that prints documents as JSON; built beside the executable."""
    build = os.environ.get("GUACO_BUILD") or pathlib.Path(
        guaco_exe()
    ).parents[2]
    program = pathlib.Path(build) / "tests" / "run" / "toml_dump"
    if not program.exists():
        pytest.skip("the C tests are not built")
    return program


def typed(value: Any) -> Any:
    """A value of tomllib in the form that toml_dump prints; dates only by type."""
    match value:
        case dict():
            return {k: typed(v) for k, v in value.items()}
        case list():
            return [typed(v) for v in value]
        case bool():
            return ("bool", "true" if value else "false")
        case int():
            return ("integer", str(value))
        case float():
            return ("float", "nan" if math.isnan(value) else value)
        case str():
            return ("string", value)
        case datetime.date() | datetime.time():
            return ("date",)
    raise AssertionError(value)


def ours(value: Any) -> Any:
    """The same of what toml_dump printed."""
    if isinstance(value, list):
        return [ours(v) for v in value]
    if set(value) == {"type", "value"} and isinstance(value["type"], str):
        if value["type"] == "date":
            return ("date",)
        if value["type"] == "float":
            number = float(value["value"])
            return ("float", "nan" if math.isnan(number) else number)
        return (value["type"], value["value"])
    return {k: ours(v) for k, v in value.items()}


def has_long_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_long_integer, value.values()))
    if isinstance(value, list):
        return any(map(has_long_integer, value))
    return isinstance(value, int) and value not in INT64


def theirs(document: bytes) -> Any:
    try:
        value = tomllib.loads(document.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return None
    # What we say to refuse though it is TOML.
    return None if has_long_integer(value) else typed(value)


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """A seed with some bytes replaced, cut out, doubled, or spliced with another."""
    document = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(document))
        match rng.randint(0, 3):
            case 0:
                document[at : at + 1] = rng.choice(b"=.[]{}\"'#\n\r ,_-0x1eTZ:\\").to_bytes()
            case 1:
                del document[at : at + rng.randint(1, 8)]
            case 2:
                document[at:at] = document[at : at + rng.randint(1, 12)]
            case 3:
                other = rng.choice(seeds)
                start = rng.randint(0, len(other))
                document[at:at] = other[start : start + rng.randint(1, 20)]
    return bytes(document)


def test_documents_read_as_by_tomllib(
    toml_dump: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    rng = random.Random(1)
    seeds = [path.read_bytes() for path in CORPUS]
    documents = seeds + [mutated(rng, seeds) for _ in range(MUTATIONS)]
    files = []
    for number, document in enumerate(documents):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(document)
    out = subprocess.run(
        [toml_dump, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True
    ).stdout
    lines = out.splitlines()
    assert len(lines) == len(documents)
    accepted = 0
    for document, line in zip(documents, lines, strict=True):
        got = json.loads(line)
        want = theirs(document)
        if got is None and TOMLLIB_IS_1_1:
            continue
        assert (got if got is None else ours(got)) == want, document
        accepted += want is not None
    assert accepted > len(documents) // 10  # the mutations are not all nonsense
