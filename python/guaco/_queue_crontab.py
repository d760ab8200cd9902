"""When periodic tasks come: crontab() and the specs behind it."""

from __future__ import annotations

import datetime as dt

from guaco._core import crontab_spec, schedule_next

__all__ = ["Crontab", "crontab"]

_UTC = dt.timezone.utc
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=_UTC)
_MS = dt.timedelta(milliseconds=1)


class Crontab:
    """A schedule: a spec and an IANA time zone.

    ``Crontab("30 2 * * mon", "Europe/Berlin")``; also six fields with seconds
    first, "@daily", "every 10 s".  ValueError for a spec that cannot be read
    or never fires, or a zone that is not there.
    """

    __slots__ = ("spec", "zone")

    def __init__(self, spec: str, zone: str = "UTC") -> None:
        schedule_next(spec, zone, 0)
        self.spec = spec
        self.zone = zone

    def __repr__(self) -> str:
        return f"Crontab({self.spec!r}, {self.zone!r})"

    def next(self, after: dt.datetime | None = None) -> dt.datetime | None:
        """The first fire time after ``after`` (a naive one is local time;
        default: now), in UTC; None when there is none before the year 10000.
        """
        when = dt.datetime.now(_UTC) if after is None else after.astimezone(_UTC)
        ms = schedule_next(self.spec, self.zone, (when - _EPOCH) // _MS)
        return None if ms is None else _EPOCH + ms * _MS

    def __call__(self, when: dt.datetime) -> bool:
        """Whether it fires in the minute of ``when``, as Huey asks it.

        A naive ``when`` is UTC, as a queue's own clock is there.
        """
        aware = when if when.tzinfo else when.replace(tzinfo=_UTC)
        minute = aware.astimezone(_UTC).replace(second=0, microsecond=0)
        begin = (minute - _EPOCH) // _MS
        fire = schedule_next(self.spec, self.zone, begin - 1)
        return fire is not None and fire < begin + 60_000


def crontab(
    minute: str | int = "*",
    hour: str | int = "*",
    day: str | int = "*",
    month: str | int = "*",
    day_of_week: str | int = "*",
    *,
    strict: bool = False,
) -> Crontab:
    """A schedule from five fields, as Huey reads them.

    Every field must match, day and day_of_week too.  ``minute="1"`` alone is
    one minute past each hour.  A piece that is no number, range, ``*`` or
    ``*/n`` is ignored, or with ``strict`` a ValueError; a field with nothing
    left is a ValueError in any case.
    """
    return Crontab(
        crontab_spec(
            str(minute), str(hour), str(day), str(month), str(day_of_week), strict
        )
    )
