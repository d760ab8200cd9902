"""Payloads: what comes back is what went in, or there is a clear error."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import random
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pytest

from guaco._serializer import (
    PayloadError,
    PickleSerializer,
    RemoteError,
    TypedSerializer,
)

UTC = dt.timezone.utc
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
typed = TypedSerializer()

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    23,
    24,
    255,
    256,
    65535,
    65536,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    10**400,
    -1,
    -24,
    -25,
    -(2**63),
    -(2**63) - 1,
    -(2**64),
    -(10**400),
    0.0,
    -0.0,
    1.5,
    1e308,
    5e-324,
    math.inf,
    -math.inf,
    "",
    "plain",
    "捕蛇者说",
    "\0\U0001f40d",
    b"",
    b"\x00\xff",
    [],
    [1, [2, [3]]],
    (),
    (1, (2, "x")),
    [(1,), [2]],
    {},
    {"a": 1, "b": [1, 2]},
    {1: "int", "1": "str", (1, 2): "tuple", None: 0, b"k": 1},
    set(),
    {1, 2, 3},
    frozenset(),
    frozenset({"a", ("b", 1)}),
    dt.datetime(2026, 11, 23, 21, 6),
    dt.datetime(2026, 11, 23, 21, 6, 1, 999999),
    dt.datetime(2026, 11, 23, 21, 6, tzinfo=UTC),
    dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime.max,
    dt.date(2026, 2, 28),
    dt.time(23, 59, 59, 1),
    dt.time(12, tzinfo=UTC),
    dt.timedelta(0),
    dt.timedelta(days=-1, microseconds=1),
    dt.timedelta.max,
    decimal.Decimal("1.10"),
    decimal.Decimal("-0E-7"),
    decimal.Decimal("Infinity"),
    uuid.UUID(int=0),
    uuid.UUID(int=2**128 - 1),
]


def _same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return all(_same(k, m) and _same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, dt.datetime):
        return (a, a.fold, str(a.tzinfo)) == (b, b.fold, str(b.tzinfo))
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and a == b
    return bool(a == b)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: ascii(v)[:40])
def test_a_value_comes_back_as_itself(value: Any) -> None:
    assert _same(typed.decode(typed.encode(value)), value)


def test_all_of_them_together_come_back() -> None:
    data = typed.encode(VALUES)
    assert _same(typed.decode(data), VALUES)
    # one value has one encoding
    assert typed.encode(typed.decode(data)) == data


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_is_the_same_bytes_whatever_its_order(kind: Any) -> None:
    # 0 and 8 share a slot of a small table: the first one in is the first one out
    words = [0, 8, "a", ("b", 1), -1, b"", "aa", None, frozenset({16, 0, 8})]
    data = typed.encode(kind(words))
    assert typed.encode(kind(reversed(words))) == data
    assert list(kind([0, 8])) != list(kind([8, 0]))
    assert typed.encode(kind([8, 0])) == typed.encode(kind([0, 8]))
    assert typed.decode(data) == kind(words)


def test_nan_comes_back() -> None:
    assert math.isnan(typed.decode(typed.encode(math.nan)))
    assert typed.decode(typed.encode(decimal.Decimal("NaN"))).is_nan()


def test_the_bytes_are_those_of_the_standard() -> None:
    """RFC 8949 appendix A, behind one byte of version."""
    examples = {
        "00": 0,
        "1818": 24,
        "1b000000e8d4a51000": 1000000000000,
        "c249010000000000000000": 18446744073709551616,
        "c349010000000000000000": -18446744073709551617,
        "3903e7": -1000,
        "fb3ff199999999999a": 1.1,
        "4401020304": b"\x01\x02\x03\x04",
        "62c3bc": "\u00fc",
        "8301820203820405": [1, [2, 3], [4, 5]],
        "a26161016162820203": {"a": 1, "b": [2, 3]},
        "d9010281182a": {42},
    }
    for text, value in examples.items():
        assert typed.encode(value) == b"\x01" + bytes.fromhex(text)


class _Text(str):
    pass


class _Colour(enum.IntEnum):
    RED = 1


class _Pair(NamedTuple):
    a: int
    b: int


class _Other:
    pass


@pytest.mark.parametrize(
    "value",
    [_Other(), _Text("x"), _Colour.RED, _Pair(1, 2), object, len, 1j, range(3)],
    ids=repr,
)
def test_another_type_is_refused_by_name(value: Any) -> None:
    for v in (value, [value], {"k": (value,)}):
        with pytest.raises(TypeError) as info:
            typed.encode(v)
        assert type(value).__name__ in str(info.value)
        assert 'serializer="pickle"' in str(info.value)


def test_a_time_zone_of_another_kind_is_refused() -> None:
    class Odd(dt.tzinfo):
        pass

    with pytest.raises(TypeError, match="ZoneInfo"):
        typed.encode(dt.datetime(2026, 1, 1, tzinfo=Odd()))


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError):
        typed.encode("\ud800")


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_is_capped_both_ways() -> None:
    data = typed.encode(_nested(64))
    assert _same(typed.decode(data), _nested(64))
    with pytest.raises(ValueError, match="deeper than 64"):
        typed.encode(_nested(65))
    with pytest.raises(PayloadError, match="deep"):
        typed.decode(b"\x01" + b"\x81" * 65 + b"\x00")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="deeper"):
        typed.encode(loop)


def test_size_is_capped_both_ways() -> None:
    small = TypedSerializer(bytes_max=100)
    assert small.decode(small.encode(b"x" * 97)) == b"x" * 97
    with pytest.raises(ValueError, match="larger than 100 bytes"):
        small.encode(b"x" * 98)
    with pytest.raises(PayloadError, match="too large"):
        small.decode(typed.encode(b"x" * 98))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",  # no version
        "02f6",  # another version
        "01",
        "01f6f6",  # bytes after the end
        "011800",  # not the shortest form
        "011b00000000ffffffff",
        "011c",  # reserved
        "017f6161ff",  # indefinite length
        "01f90000",  # a half float
        "01f7",  # undefined
        "019bffffffffffffffff",  # a count beyond the bytes
        "01bbffffffffffffffff",
        "015b7fffffffffffffff",
        "013bffffffffffffffff",  # below -2**63 without a tag
        "0161ff",  # not UTF-8
        "01c24100",  # a big integer that is small
        "01c2490000000000000000ff",  # ... with a leading zero
        "01d8298100",  # a tag that is not known
        "01d81b80",  # an object without a name
        "01d81b8163666f6f",  # ... of an unknown type
        "01d81b82644461746561",
        "01d81b8264555549444100",  # a UUID of one byte
        "01d81b8267446563696d616c6178",  # Decimal("x")
        "01d9010282" + "0000",  # an element twice
        "01a2" + "00000000",  # a key twice
        "01a1" + "8000",  # a key that cannot be hashed
        "01d901028180",
    ],
)
def test_damaged_bytes_are_one_clear_error(text: str) -> None:
    with pytest.raises(PayloadError):
        typed.decode(bytes.fromhex(text))


def test_any_damage_is_an_error_or_a_value() -> None:
    """Mutated payloads never do anything else, and stay canonical."""
    rand = random.Random(20261123)
    seeds = [typed.encode(v) for v in VALUES] + [typed.encode(VALUES)]
    good = 0
    for _ in range(20_000):
        data = bytearray(rand.choice(seeds))
        for _ in range(rand.randint(1, 4)):
            at = rand.randrange(len(data)) if data else 0
            match rand.randrange(4):
                case 0 if data:
                    data[at] = rand.randrange(256)
                case 1 if data:
                    del data[at]
                case 2:
                    data.insert(at, rand.randrange(256))
                case _:
                    data += rand.choice(seeds)[: rand.randrange(20)]
        try:
            value = typed.decode(bytes(data))
        except PayloadError:
            continue
        typed.encode(value)
        good += 1
    assert good > 100


def test_a_container_that_changes_is_noticed() -> None:
    from guaco._core import Codec

    victim: list[Any] = [_Other(), 1, 2]

    def shrink(_: Any) -> tuple[Any, ...]:
        victim.clear()
        return ("other",)

    codec = Codec({_Other: shrink}, {}, 1000)
    with pytest.raises(RuntimeError, match="changed"):
        codec.encode(victim)

    grown: dict[Any, Any] = {1: _Other()}

    def grow(_: Any) -> tuple[Any, ...]:
        grown[len(grown) + 1] = 1
        return ("other",)

    codec = Codec({_Other: grow}, {}, 1000)
    with pytest.raises(RuntimeError, match="changed"):
        codec.encode(grown)


def test_builtin_exceptions_come_back_as_themselves() -> None:
    back = typed.decode(typed.encode(KeyError("k", 1)))
    assert type(back) is KeyError and back.args == ("k", 1)


class _AppError(Exception):
    pass


def test_an_exception_of_the_application_comes_back_as_data() -> None:
    back = typed.decode(typed.encode(_AppError("bad", _Other)))
    assert type(back) is RemoteError
    assert back.type_name.endswith("._AppError")
    assert back.args[1] == "bad" and "_Other" in back.args[2]
    # and once more, without wrapping it again
    again = typed.decode(typed.encode(back))
    assert type(again) is RemoteError and again.args == back.args


@pytest.mark.parametrize("name", ["eval", "SystemExit", "open", "Exception.mro"])
def test_data_names_no_other_callable(name: str) -> None:
    data = typed.encode(KeyError("x")).replace(
        bytes([0x60 + 17]) + b"builtins.KeyError",
        bytes([0x60 + 9 + len(name)]) + b"builtins." + name.encode(),
    )
    back = typed.decode(data)
    assert type(back) is RemoteError


# ---- pickle ----------------------------------------------------------------


def test_pickle_keeps_any_object() -> None:
    signed = PickleSerializer("secret")
    assert signed.decode(signed.encode(_Pair(1, 2))) == _Pair(1, 2)
    with pytest.raises(TypeError, match="pickled"):
        signed.encode(lambda: 0)


def test_pickle_opens_nothing_that_is_not_signed() -> None:
    signed = PickleSerializer("secret")
    ran: list[int] = []

    class Bomb:
        def __reduce__(self) -> Any:
            return (exec, ("raise SystemExit('opened')",))

    bomb = PickleSerializer("another").encode(Bomb())
    good = signed.encode([1])
    for data in (bomb, good[:-1], good + b"x", good[:20], b"", b"\x02" * 40):
        with pytest.raises(PayloadError):
            signed.decode(data)
    with pytest.raises(PayloadError):
        signed.decode(typed.encode(1))
    with pytest.raises(PayloadError):
        typed.decode(good)
    assert not ran


def test_pickle_wants_a_secret_and_has_a_cap() -> None:
    with pytest.raises(ValueError, match="secret"):
        PickleSerializer("")
    with pytest.raises(ValueError, match="larger than"):
        PickleSerializer("s", bytes_max=10).encode("x" * 20)
