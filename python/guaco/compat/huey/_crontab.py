"""crontab(), as Huey reads it: minutes of a naive clock."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from typing import Any

dash_re = re.compile(r"(\d+)-(\d+)(?:/(\d+))?$")
every_re = re.compile(r"\*/(\d+)$")

_FIELDS = (
    ("month", range(1, 13)),
    ("day", range(1, 32)),
    ("day_of_week", range(0, 7)),
    ("hour", range(0, 24)),
    ("minute", range(0, 60)),
)


def _range(name: str, allowed: range, first: int, last: int) -> list[int]:
    """The values from first to last, over the end of the range if need be."""
    top = 8 if name == "day_of_week" else allowed.stop
    if not (allowed.start <= first < top and allowed.start <= last < top):
        raise ValueError(f"{name}: {first}-{last} is out of range")
    if first <= last:
        return list(range(first, last + 1))
    return [*range(first, allowed.stop), *range(allowed.start, last + 1)]


def _piece(name: str, allowed: range, piece: str, strict: bool) -> list[int]:
    """The values of one piece between commas."""
    if piece == "*":
        return list(allowed)
    if piece.isdigit():
        value = int(piece)
        if name == "day_of_week" and value == 7:
            value = 0
        if value not in allowed:
            raise ValueError(f"{name}: {piece} is not a valid input")
        return [value]
    if found := dash_re.match(piece):
        first, last = int(found.group(1)), int(found.group(2))
        step = int(found.group(3) or 1)
        if step == 0:
            raise ValueError(f"{name}: {piece} has a step of 0")
        values = _range(name, allowed, first, last)[::step]
        return [v % 7 for v in values] if name == "day_of_week" else values
    if found := every_re.match(piece):
        if name == "day_of_week":
            raise ValueError("Cannot use a step in day_of_week")
        step = int(found.group(1))
        if step == 0:
            raise ValueError(f"{name}: {piece} has a step of 0")
        return list(allowed)[::step]
    if strict:
        raise ValueError(f"{name}: {piece!r} is not a valid input")
    return []


def crontab(
    minute: Any = "*",
    hour: Any = "*",
    day: Any = "*",
    month: Any = "*",
    day_of_week: Any = "*",
    strict: bool = False,
) -> Callable[[dt.datetime], bool]:
    """Whether a minute matches: all five fields must, day and weekday too.

    A piece that cannot be read is ignored, or with strict a ValueError; a
    field with nothing left is one in any case.
    """
    given = {
        "minute": minute,
        "hour": hour,
        "day": day,
        "month": month,
        "day_of_week": day_of_week,
    }
    wanted: list[frozenset[int]] = []
    for name, allowed in _FIELDS:
        value = given[name]
        text = str(value) if isinstance(value, int) else value
        values: set[int] = set()
        for piece in text.split(","):
            values.update(_piece(name, allowed, piece, strict))
        if not values:
            raise ValueError(f"{name}: {value!r} matches nothing")
        wanted.append(frozenset(values))
    month_set, day_set, weekday_set, hour_set, minute_set = wanted

    def validate_date(timestamp: dt.datetime) -> bool:
        return (
            timestamp.month in month_set
            and timestamp.day in day_set
            and timestamp.isoweekday() % 7 in weekday_set
            and timestamp.hour in hour_set
            and timestamp.minute in minute_set
        )

    return validate_date


crontab.hourly = functools.partial(crontab, minute="0")  # type: ignore[attr-defined]
crontab.daily = functools.partial(crontab, minute="0", hour="0")  # type: ignore[attr-defined]
