"""Fire times against an oracle that shares nothing with the code under test.

The oracle uses zoneinfo and walks: it lists the local clock's reading second by
second (or minute by minute) around each jump, instead of computing with spans, and
matches a datetime's fields against sets that a parser of its own made.  The rule of
guaco/schedule.h is applied word by word.
"""

import calendar
import datetime as dt
import os
import pathlib
import random
import subprocess
import zoneinfo

import pytest

UTC = dt.timezone.utc
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",  # winter time is the "daylight" one
    "America/New_York",
    "America/St_Johns",  # half hours; jumps at 00:01 before 2011
    "America/Sao_Paulo",  # jumped at midnight until 2019
    "Australia/Lord_Howe",  # jumps by half an hour
    "Africa/Casablanca",  # twice a year around Ramadan, listed to 2087
    "Asia/Tehran",
    "Asia/Gaza",
    "Pacific/Apia",  # left out 30 December 2011
    "Antarctica/Troll",  # jumps by two hours
    "America/Nuuk",
]


# ---- the oracle -------------------------------------------------------------

NAMES = {
    3: "jan feb mar apr may jun jul aug sep oct nov dec".split(),
    4: "sun mon tue wed thu fri sat".split(),
}
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]


def field_values(text, index):
    """The set of values of one field, Sunday as 0."""
    low, high = RANGES[index]

    def number(word):
        if word.isdigit():
            return int(word)
        return NAMES[index].index(word.lower()) + (1 if index == 3 else 0)

    values = set()
    for piece in text.split(","):
        body, _, step = piece.partition("/")
        if body == "*":
            chosen = list(range(low, high + 1))
        elif "-" in body:
            first, last = map(number, body.split("-"))
            if first <= last:
                chosen = list(range(first, last + 1))
            else:
                top = 6 if index == 4 else high
                chosen = [*range(first, top + 1), *range(low, last + 1)]
        else:
            chosen = [number(body)]
        values |= set(chosen[:: int(step or 1)])
    return {value % 7 for value in values} if index == 4 else values


class Oracle:
    """Fire times of a five-field spec in a zone, by walking over minutes."""

    def __init__(self, spec, zone):
        words = spec.split()
        self.both = words[0] == "all"
        words = words[-5:]
        self.sets = [field_values(word, i) for i, word in enumerate(words)]
        self.both |= words[2].startswith("*") or words[4].startswith("*")
        self.wildcard = words[0].startswith("*") or words[1].startswith("*")
        self.zone = zoneinfo.ZoneInfo(zone)

    def matches(self, local):
        minute, hour, day, month, weekday = self.sets
        by_day = local.day in day
        by_weekday = local.isoweekday() % 7 in weekday
        return (
            local.minute in minute
            and local.hour in hour
            and local.month in month
            and (by_day and by_weekday if self.both else by_day or by_weekday)
        )

    def local(self, t):
        return dt.datetime.fromtimestamp(t, self.zone).replace(tzinfo=None)

    def fires(self, start, end):
        """Fire times in (start, end], Unix seconds; the walk begins two days early.

        Offsets are whole minutes in the years that are tested.
        """
        minute = dt.timedelta(minutes=1)
        found = []
        t = (start - 2 * 86400) // 60 * 60
        shown = self.local(t)  # the greatest reading so far
        while t <= end:
            now = self.local(t)
            if self.wildcard:
                fire = self.matches(now)
            else:
                fire = False
                while shown < now:  # each reading that is passed or reached now
                    shown += minute
                    fire |= self.matches(shown)
            if fire and t > start:
                found.append(t)
            t += 60
        return found


# ---- the probe --------------------------------------------------------------


@pytest.fixture(scope="module")
def ask():
    """ask(lines): the probe's answers, one a line, with Python's zone folders."""
    build = os.environ.get("GUACO_BUILD")
    if build is None:
        pytest.skip("GUACO_BUILD does not name a build folder")
    probe = pathlib.Path(build) / "tests/queue/schedule_probe"
    dirs = list(zoneinfo.TZPATH)
    try:
        import tzdata

        dirs.append(str(pathlib.Path(tzdata.__file__).parent / "zoneinfo"))
    except ImportError:
        pass

    def run(lines):
        done = subprocess.run(
            [probe, ":".join(dirs)],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    return run


def times(answer):
    assert not answer.startswith("!"), answer
    return [int(word) // 1000 for word in answer.split()]


def unix(text, zone="UTC"):
    local = dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return int(local.timestamp())


def first_fires(ask, spec, zone, start, count):
    """The first fires after local time `start`, as ISO texts in UTC."""
    after = unix(start, zone) * 1000
    (answer,) = ask([f"next|{zone}|{spec}|{after}|{count}"])
    return [
        dt.datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for t in times(answer)
    ]


# ---- against the oracle -----------------------------------------------------


def random_field(rng, index):
    low, high = RANGES[index]

    def value():
        number = rng.randint(low, high)
        if index in NAMES and rng.random() < 0.3:
            return rng.choice(NAMES[index])
        return str(number)

    kind = rng.random()
    if kind < 0.35:
        return "*"
    if kind < 0.45:
        return f"*/{rng.randint(1, high)}"
    if kind < 0.7:
        return value()
    if kind < 0.8:
        return f"{value()}-{value()}"
    if kind < 0.9:
        return f"{value()}-{value()}/{rng.randint(1, 9)}"
    return f"{value()},{value()},{value()}-{value()}"


def jumps(zone):
    """Moments at which the zone's offset changes, 1995 to 2045."""
    info = zoneinfo.ZoneInfo(zone)

    def offset(t):
        return dt.datetime.fromtimestamp(t, info).utcoffset()

    found = []
    step = 86400 * 5
    t, end = unix("1995-01-01"), unix("2045-01-01")
    while t < end:
        if offset(t) != offset(t + step):
            low, high = t, t + step
            while high - low > 1:
                middle = (low + high) // 2
                if offset(middle) == offset(low):
                    low = middle
                else:
                    high = middle
            found.append(high)
        t += step
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_random_expressions_around_jumps_are_the_oracles(ask, zone):
    rng = random.Random(f"cron {zone}")
    places = jumps(zone) or [unix("2024-02-29")]
    questions, expected = [], []
    for _ in range(25):
        spec = " ".join(random_field(rng, i) for i in range(5))
        if rng.random() < 0.2:
            spec = f"all {spec}"
        start = rng.choice(places) - rng.randint(0, 2 * 86400)
        end = start + 3 * 86400
        fires = Oracle(spec, zone).fires(start, end)
        questions.append(f"next|{zone}|{spec}|{start * 1000}|{len(fires) + 1}")
        expected.append((fires, start, end))
    for question, answer, (fires, start, end) in zip(
        questions, ask(questions), expected, strict=True
    ):
        if answer.startswith("!"):  # 31 February and its kin: refused, never fires
            assert "none of these days" in answer and fires == [], question
            continue
        got = times(answer)
        assert [t for t in got if t <= end] == fires, question
        assert got == sorted(set(got)) and all(t > start for t in got)


@pytest.mark.parametrize("zone", ZONES)
def test_far_fire_times_are_the_oracles(ask, zone):
    """Expressions that match seldom: the answer may lie years away."""
    rng = random.Random(f"far {zone}")
    for _ in range(6):
        month, day = rng.choice([(2, 29), (3, 31), (10, 27), (12, 31), (1, 1)])
        hour, minute = rng.randint(0, 23), rng.randint(0, 59)
        spec = f"{minute} {hour} {day} {month} *"
        start = unix(f"{rng.randint(1996, 2040)}-06-01")
        (answer,) = ask([f"next|{zone}|{spec}|{start * 1000}|1"])
        (fire,) = times(answer)
        oracle = Oracle(spec, zone)
        assert oracle.fires(fire - 3 * 86400, fire + 86400)[:1] == [fire]
        assert 0 < fire - start <= 86400 * 366 * 8


@pytest.mark.parametrize("zone", ZONES)
def test_last_is_the_last_of_next(ask, zone):
    rng = random.Random(f"last {zone}")
    places = jumps(zone) or [unix("2024-02-29")]
    for _ in range(8):
        spec = " ".join(random_field(rng, i) for i in range(2)) + " * * *"
        at = rng.choice(places) + rng.randint(-86400, 86400)
        since = at - 3 * 86400
        fires = Oracle(spec, zone).fires(since, at)
        (answer,) = ask([f"last|{zone}|{spec}|{since * 1000}|{at * 1000 + 999}"])
        assert answer == (str(fires[-1] * 1000) if fires else "none"), spec


# ---- the rule, by example ---------------------------------------------------


def test_a_fixed_time_that_is_skipped_fires_at_the_jump(ask):
    # Berlin, 2025-03-30: 02:00 becomes 03:00 at 01:00 UTC.
    assert first_fires(ask, "30 2 * * *", "Europe/Berlin", "2025-03-29T12:00", 2) == [
        "2025-03-30T01:00:00",
        "2025-03-31T00:30:00",
    ]


def test_fixed_times_of_one_jump_fire_once(ask):
    assert first_fires(
        ask, "0,15,30 2,3 * * *", "Europe/Berlin", "2025-03-30T00:00", 3
    ) == ["2025-03-30T01:00:00", "2025-03-30T01:15:00", "2025-03-30T01:30:00"]


def test_a_fixed_time_that_is_repeated_fires_the_first_time_only(ask):
    # Berlin, 2025-10-26: 03:00 becomes 02:00 at 01:00 UTC.
    assert first_fires(ask, "30 2 * * *", "Europe/Berlin", "2025-10-25T12:00", 2) == [
        "2025-10-26T00:30:00",
        "2025-10-27T01:30:00",
    ]


def test_a_wildcard_follows_the_clock_on_the_wall(ask):
    assert first_fires(ask, "30 * * * *", "Europe/Berlin", "2025-03-30T01:00", 2) == [
        "2025-03-30T00:30:00",
        "2025-03-30T01:30:00",
    ]
    assert first_fires(ask, "30 * * * *", "Europe/Berlin", "2025-10-26T01:45", 3) == [
        "2025-10-26T00:30:00",
        "2025-10-26T01:30:00",
        "2025-10-26T02:30:00",
    ]


def test_a_day_that_a_zone_leaves_out(ask):
    # Samoa went from 29 to 31 December 2011, at 10:00 UTC.
    assert first_fires(ask, "0 12 * * *", "Pacific/Apia", "2011-12-29T13:00", 2) == [
        "2011-12-30T10:00:00",
        "2011-12-30T22:00:00",
    ]


def test_seconds_and_macros(ask):
    assert first_fires(ask, "*/20 59 23 31 12 *", "UTC", "2025-01-01", 4) == [
        "2025-12-31T23:59:00",
        "2025-12-31T23:59:20",
        "2025-12-31T23:59:40",
        "2026-12-31T23:59:00",
    ]
    for macro, fire in [
        ("@hourly", "2025-06-15T11:00:00"),
        ("@daily", "2025-06-16T00:00:00"),
        ("@weekly", "2025-06-22T00:00:00"),
        ("@monthly", "2025-07-01T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00"),
    ]:
        assert first_fires(ask, macro, "UTC", "2025-06-15T10:30", 1) == [fire]


def test_the_29th_of_february_on_a_monday_comes_every_28_or_40_years(ask):
    mondays = [
        f"{year}-02-29T00:00:00"
        for year in range(2004, 2180, 4)
        if calendar.isleap(year) and dt.date(year, 2, 29).isoweekday() == 1
    ]
    spec = "all 0 0 29 2 mon"
    assert first_fires(ask, spec, "UTC", "2001-01-01", len(mondays)) == mondays
    assert "2112-02-29T00:00:00" in mondays  # 40 years after 2072


def test_intervals_count_from_their_anchor(ask):
    assert ask(
        [
            "next||every 90s|0|2",
            "next||every 90 s from 1000|0|2",
            "next||every 1d from 5|-100000000|2",
            "last||every 7 s|0|20000",
        ]
    ) == ["90000 180000", "1000 91000", "5 86400005", "14000"]


# ---- catching up ------------------------------------------------------------


def test_catch_up_policies(ask):
    minute = 60000
    now = 10 * minute + 500
    assert ask(
        [
            # nothing is due
            f"due||* * * * *|1|{10 * minute}|{now}",
            f"due||* * * * *|3|{now + minute}|{now}",  # the clock was set back
            # one is due now
            f"due||* * * * *|1|{9 * minute}|{now}",
            # four were missed
            f"due||* * * * *|1|{6 * minute}|{now}",
            f"due||* * * * *|2|{6 * minute}|{now}",
            f"due||* * * * *|3|{6 * minute}|{now}",
            # an hourly one was missed by more than the grace
            f"due||@hourly|1|0|{61 * minute + 1}",
            f"due||@hourly|1|0|{61 * minute}",
            f"due||@hourly|2|0|{119 * minute}",
        ]
    ) == [
        "",
        "",
        "600000",
        "600000",
        "600000",
        "420000 480000 540000 600000",
        "",
        "3600000",
        "3600000",
    ]


def test_catching_up_is_bounded_and_keeps_the_latest(ask):
    year = 365 * 86400000
    (answer,) = ask([f"due||every 1s|3|0|{year}"])
    fires = [int(word) for word in answer.split()]
    assert fires == [year - 1000 * i for i in range(99, -1, -1)]


# ---- what is refused --------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "here are 0"),
        ("* * * *", "here are 4"),
        ("* * * * * * *", "more than 6"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "weekday '8'"),
        ("* * * foo *", "month 'foo'"),
        ("* * jan * *", "day of month 'jan'"),
        ("1, * * * *", "minute ''"),
        ("5/10 * * * *", "a step needs a range"),
        ("*/0 * * * *", "no such step"),
        ("1-5/ * * * *", "no such step"),
        ("1-99999999999999999999 * * * *", "no such end of a range"),
        ("99999999999999999999 * * * *", "no such value"),
        ("*/99999999999999999999 * * * *", "no such step"),
        ("-1 * * * *", "no such value"),
        ("1.5 * * * *", "cannot be read to its end"),
        ("* * L * *", "day of month 'L'"),
        ("* * * * 5#3", "weekday '5#3'"),
        ("? * * * *", "minute '?'"),
        ("0 0 30 2 *", "none of these days"),
        ("all 0 0 31 4,6,9,11 mon", "none of these days"),
        ("@reboot", "'@reboot' is not known"),
        ("@daily 5", "nothing may follow"),
        ("every 0s", "every:"),
        ("every 5", "every:"),
        ("every 5 weeks", "every:"),
        ("every 9007199254740992d", "too long"),
        ("every 5s from", "'from' wants"),
        ("every 5s 6", "something follows"),
        ("1,2," * 300 + "3 * * * *", "at most 1024 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(ask, spec, said):
    (answer,) = ask([f"next|UTC|{spec}|0|1"])
    assert answer.startswith("!-2 ") and said in answer


@pytest.mark.parametrize("spec", ["0 0 30 2 mon", "0 0 31 2-3 *", "0 0 29 2 *"])
def test_what_may_fire_is_not_refused(ask, spec):
    (answer,) = ask([f"next|UTC|{spec}|0|1"])
    assert times(answer)


@pytest.mark.parametrize(
    ("zone", "code"),
    [
        ("Europe/Nowhere", -11),
        ("../../etc/passwd", -2),
        ("/etc/localtime", -2),
        ("Europe/", -2),
        ("a" * 200, -2),
    ],
)
def test_a_zone_that_is_none(ask, zone, code):
    (answer,) = ask([f"next|{zone}|@daily|0|1"])
    assert answer.startswith(f"!{code} ")


def test_every_zone_of_this_machine_is_read(ask):
    names = sorted(zoneinfo.available_timezones() - {"localtime"})
    after = unix("2030-07-01")
    answers = ask([f"next|{name}|0 12 * * *|{after * 1000}|1" for name in names])
    for name, answer in zip(names, answers, strict=True):
        (fire,) = times(answer)
        local = dt.datetime.fromtimestamp(fire, zoneinfo.ZoneInfo(name))
        assert (local.hour, local.minute) == (12, 0), name


# ---- Huey's crontab() -------------------------------------------------------

huey_api = None
try:
    import huey.api as huey_api
except ImportError:
    pass


def random_huey_field(rng, index):
    low, high = RANGES[index]
    pieces = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        a, b = rng.randint(low, high), rng.randint(low, high)
        pieces.append(
            rng.choice(
                ["*", str(a), f"{a}-{b}", f"{a}-{b}/{rng.randint(1, 9)}"]
                + [f"*/{rng.randint(1, 70)}", f"0{a}"]
                + rng.choices(["mon", "", " 5", "5/10", "?", "*/5x", "1-2-3"], k=1)
            )
        )
    return ",".join(pieces)


@pytest.mark.skipif(huey_api is None, reason="huey is not installed")
def test_crontab_arguments_mean_what_huey_reads(ask):
    rng = random.Random("huey")
    for _ in range(150):
        arguments = [random_huey_field(rng, i) for i in range(5)]
        strict = rng.random() < 0.3
        try:
            accepts = huey_api.crontab(*arguments, strict=strict)
        except ValueError:
            accepts = None
        (spec,) = ask([f"crontab|{int(strict)}|{'|'.join(arguments)}"])
        if accepts is None:
            assert spec.startswith("!-2 crontab: "), (arguments, spec)
            continue
        if spec.startswith("!"):
            assert "none of these days" in spec
            continue
        oracle = Oracle(spec, "UTC")
        for _ in range(300):
            t = dt.datetime(2024, 1, 1) + dt.timedelta(minutes=rng.randrange(525600))
            assert oracle.matches(t) == accepts(t), (arguments, spec, t)


@pytest.mark.parametrize(
    ("arguments", "spec"),
    [
        ("1|*|*|*|*", "all 1 * * * *"),
        ("*|*|*|*|mon,3", "all * * * * 3"),
        ("*/15|8-18/2|*|*|1-7", "all */15 8-18/2 * * 1-7"),
    ],
)
def test_crontab_keeps_what_it_was_given(ask, arguments, spec):
    assert ask([f"crontab|0|{arguments}"]) == [spec]


@pytest.mark.parametrize(
    ("strict", "arguments", "said"),
    [
        (0, "60|*|*|*|*", "minute='60'"),
        (0, "*|*|*|*|*/2", "day_of_week='*/2'"),
        (0, "mon|*|*|*|*", "minute='mon': matches no values"),
        (0, "|*|*|*|*", "matches no values"),
        (0, "*|*/0|*|*|*", "hour='*/0'"),
        (1, "*|*|*|*|mon,3", "day_of_week='mon': cannot be read"),
    ],
)
def test_crontab_refuses_with_the_arguments_name(ask, strict, arguments, said):
    (answer,) = ask([f"crontab|{strict}|{arguments}"])
    assert answer.startswith("!-2 ") and said in answer
