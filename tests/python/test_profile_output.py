"""What `guaco profile` writes: each form, py-spy's words, files, progress, failures."""

import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest
from deadline import DEADLINE_S
from test_profile import (
    BUSY,
    SLEEPING,
    profile,
    some_python,
    stacks,
    target,
    until_it_samples,
    wait_until_asleep,
)

__all__ = ["some_python", "target"]  # fixtures

# ---- other programs' forms ----------------------------------------------------------


class Optional(dict):
    """Members that may be missing."""


def check(value, shape, at="$"):
    """A JSON schema in Python: types, constants, {name: shape}, [shape of each item]."""
    if isinstance(shape, list):
        assert isinstance(value, list), at
        for n, item in enumerate(value):
            check(item, shape[0], f"{at}[{n}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), at
        known = dict(shape)
        optional = known.pop("?", Optional())
        assert set(known) <= set(value) <= set(known) | set(optional), (at, set(value))
        for name, item in value.items():
            check(item, {**optional, **known}[name], f"{at}.{name}")
    elif isinstance(shape, type | tuple):
        assert isinstance(value, shape), (at, value)
        assert isinstance(value, bool) == (shape is bool), (at, value)
    else:
        assert value == shape, at


NUMBER = (int, float)

# file-format-schema.json, as far as sampled profiles go.
SPEEDSCOPE = {
    "$schema": "https://www.speedscope.app/file-format-schema.json",
    "shared": {"frames": [{"name": str, "?": Optional(file=str, line=int, col=int)}]},
    "profiles": [
        {
            "type": "sampled",
            "name": str,
            "unit": "nanoseconds",
            "startValue": NUMBER,
            "endValue": NUMBER,
            "samples": [[int]],
            "weights": [NUMBER],
        }
    ],
    "?": Optional(name=str, activeProfileIndex=int, exporter=str),
}


def write(exe, tmp_path, pid, ending, *flags):
    out = tmp_path / f"out{ending}"
    done = profile(exe, "-s", 0.3, "-o", out, "-p", pid, *flags)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return json.loads(out.read_text())


def test_speedscope_is_of_its_schema(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    data = write(exe, tmp_path, busy.pid, ".speedscope.json")
    check(data, SPEEDSCOPE)
    frames = data["shared"]["frames"]
    assert {frame["name"] for frame in frames} >= {"<module>", "top", "middle"}
    for one in data["profiles"]:
        assert len(one["samples"]) == len(one["weights"]) > 0
        assert sum(one["weights"]) == one["endValue"]
        assert set(one["weights"]) == {10_000_000}
    (thread,) = (p for p in data["profiles"] if not p["name"].startswith("process "))
    names = [frames[i]["name"] for i in thread["samples"][0]]
    assert names[:5] == ["<module>", "top", "top", "top", "top"]


def test_speedscope_has_a_profile_a_thread(exe, some_python, target, tmp_path):
    waits = target(some_python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    data = write(exe, tmp_path, waits.pid, ".speedscope.json", "--threads")
    check(data, SPEEDSCOPE)
    assert len(data["profiles"]) == 2
    lengths = {len(one["samples"]) for one in data["profiles"]}
    assert max(lengths) - min(lengths) <= 2


SCHEMA = {"schema": dict, "data": [list]}
GECKO = {  # what the importer of version 24 looks at
    "meta": {
        "version": 24,
        "interval": float,
        "startTime": float,
        "shutdownTime": type(None),
        "processType": 0,
        "product": str,
        "categories": [{"name": str, "color": str, "subcategories": [str]}],
        "markerSchema": [dict],
        "stackwalk": 1,
        "asyncstack": 1,
        "presymbolicated": 1,
        "debug": 0,
        "gcpoison": 0,
    },
    "libs": [dict],
    "threads": [
        {
            "name": str,
            "processType": "default",
            "pid": int,
            "tid": int,
            "registerTime": NUMBER,
            "unregisterTime": type(None),
            "markers": SCHEMA,
            "samples": SCHEMA,
            "stackTable": SCHEMA,
            "frameTable": SCHEMA,
            "stringTable": [str],
        }
    ],
    "processes": [dict],
    "pausedRanges": [dict],
}


def rows(table):
    """The rows of a table as dicts, by its schema."""
    names = sorted(table["schema"], key=table["schema"].get)
    for row in table["data"]:
        assert len(row) == len(names)
        yield dict(zip(names, row, strict=True))


def test_gecko_has_whole_tables(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    data = write(exe, tmp_path, busy.pid, ".gecko.json")
    check(data, GECKO)
    assert data["meta"]["interval"] == 10
    (thread,) = (t for t in data["threads"] if not t["name"].startswith("process "))
    assert thread["pid"] == busy.pid
    stacks_, frames = list(rows(thread["stackTable"])), list(rows(thread["frameTable"]))
    samples = list(rows(thread["samples"]))
    times = [sample["time"] for sample in samples]
    assert times == sorted(times)
    assert len(times) > 10
    seen = set()
    for sample in samples:
        stack, names = sample["stack"], []
        while stack is not None:
            row = stacks_[stack]
            frame = frames[row["frame"]]
            names.append(thread["stringTable"][frame["location"]].split(" ")[0])
            assert row["prefix"] is None or row["prefix"] < stack
            stack = row["prefix"]
            assert 0 <= frame["category"] < len(data["meta"]["categories"])
        seen.add(tuple(reversed(names)))
    outer = ("<module>", "top", "top", "top", "top", "middle")
    assert outer in {names[:6] for names in seen}


def test_chrome_events_open_and_close(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    data = write(exe, tmp_path, busy.pid, ".trace.json")
    open_, last, deepest, roots = {}, {}, [], 0
    for event in data["traceEvents"]:
        key = (event["pid"], event["tid"])
        if event["ph"] == "M":
            assert (event["name"], set(event["args"])) == ("thread_name", {"name"})
            continue
        assert event["ts"] >= last.get(key, 0)
        stack = open_.setdefault(key, [])
        if event["ph"] == "B":
            if event["name"] == "<module>":  # anew only after some periods without a sample
                assert event["ts"] - last.get(key, -20_000) >= 19_999
                roots += 1
            stack.append(event["name"])
            deepest = max(deepest, list(stack), key=len)
        else:
            assert event["ph"] == "E"
            assert stack.pop() == event["name"]
        last[key] = event["ts"]
    assert not any(open_.values())
    assert deepest[:6] == ["<module>", "top", "top", "top", "top", "middle"]
    begins = [e for e in data["traceEvents"] if e["ph"] == "B" and e["name"] == "top"]
    assert len(begins) == 4 * roots > 0  # a call that lasts is one event a frame, not one a sample
    assert begins[0]["args"]["line"] == 7


PHASES = """
import time
def first():
    end = time.monotonic() + 0.3
    while time.monotonic() < end: pass
def second():
    end = time.monotonic() + 0.3
    while time.monotonic() < end: pass
first(); second(); first()
"""


def test_a_flamechart_is_in_the_order_of_time(exe, some_python, tmp_path):
    source = tmp_path / "phases.py"
    source.write_text(PHASES)
    out = tmp_path / "out.svg"
    command = ["-t", some_python, "-S", source]
    done = profile(exe, "--flamechart", "-x", "-n", "-r", 0.005, "-o", out, *command)
    assert done.returncode == 0
    found = re.findall(r"<title>[^<]*:(first|second) \((\d+) .*?<rect x=\"([\d.]+)", out.read_text())
    wide = sorted((float(x), name) for name, count, x in found if int(count) > 5)
    assert [name for _, name in wide] == ["first", "second", "first"]


def fields(data):
    """(number, value) of each field of a protobuf message; varints and bytes only."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            assert key & 7 == 2
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size


def test_pprof_has_functions_lines_and_times(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    out = tmp_path / "out.pb"
    assert profile(exe, "-s", 0.3, "-o", out, "-p", busy.pid).returncode == 0
    message = list(fields(out.read_bytes()))
    texts = [value.decode() for number, value in message if number == 6]
    functions = {}
    for function in (dict(fields(v)) for number, v in message if number == 5):
        functions[function[1]] = (texts[function[2]], pathlib.Path(texts[function[4]]).name)
    places = {}
    for location in (dict(fields(v)) for number, v in message if number == 4):
        line = dict(fields(location[4]))
        places[location[1]] = (*functions[line[1]], line.get(2, 0))
    assert ("middle", "target.py", 5) in places.values()
    assert ("top", "target.py", 7) in places.values()
    assert [v for number, v in message if number == 12] == [10_000_000]
    assert sum(number == 2 for number, _ in message) > 0

    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("no go here: its pprof was not asked")
    raw = subprocess.run(  # it builds its pprof when it is asked first
        [go, "tool", "pprof", "-raw", out], capture_output=True, text=True, timeout=300
    )
    assert raw.returncode == 0, raw.stderr
    assert "Period: 10000000" in raw.stdout
    assert re.search(r"middle .*target\.py:5", raw.stdout)


# ---- py-spy's words -------------------------------------------------------------------


def test_record_has_rates_in_hz_and_ends_with_its_command(exe, some_python, tmp_path):
    out = tmp_path / "out.folded"
    source = tmp_path / "phases.py"
    source.write_text(PHASES)
    done = profile(
        exe, "record", "-r", 200, "-F", "-o", out, "--", some_python, "-S", source
    )
    assert done.returncode == 0
    count = sum(stacks_by_function(out.read_text()).values())
    assert re.search(rf"{count} samples in {out}", done.stderr)
    assert 60 < count < 400
    found = stacks_by_function(out.read_text())
    first = sum(n for names, n in found.items() if "first" in names)
    second = sum(n for names, n in found.items() if "second" in names)
    assert first > 1.2 * second > 0


def stacks_by_function(text):
    found = {}
    for line in text.splitlines():
        stack, count = line.rsplit(" ", 1)
        found[tuple(f.rsplit(":", 1)[-1] for f in stack.split(";"))] = int(count)
    return found


def test_record_names_its_file_itself(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    done = profile(exe, "record", "-d", 0.2, "-p", busy.pid, cwd=tmp_path)
    assert done.returncode == 0
    (made,) = tmp_path.glob("profile-*.svg")
    assert f" samples in {made.name}" in done.stderr
    assert "<svg" in made.read_text()


def test_record_understands_py_spys_names_of_formats(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    for name, begin in ("raw", "/"), ("flamegraph", "<?xml"), ("chrometrace", "{"):
        done = profile(exe, "record", "-d", 0.1, "-f", name, "-o", "-", "-p", busy.pid)
        assert done.stdout.startswith(begin), name


def test_dump_is_a_word_too(exe, some_python, target):
    waits = target(some_python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    done = profile(exe, "dump", "-p", waits.pid)
    assert done.returncode == 0
    assert re.search(r"^    nap \(.*target\.py:4\)$", done.stdout, re.M)
    assert profile(exe, "dump", "--pid", waits.pid).stdout == done.stdout


# ---- pyflame's flags --------------------------------------------------------------------


def test_a_pid_alone_is_deprecated_as_it_was(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-s", 0, busy.pid)
    assert sum(stacks(done.stdout).values()) == 1
    assert "deprecated" in done.stderr


def test_flags_in_all_their_forms(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    out = tmp_path / "x"
    for flags in (
        ["-s", "0", "-p", busy.pid, "-o", out],
        ["-s0", f"-p{busy.pid}", f"-o{out}"],
        ["--seconds=0", f"--pid={busy.pid}", f"--output={out}"],
        ["-xs0", f"-xp={busy.pid}", "-o", out],
    ):
        out.unlink(missing_ok=True)
        done = profile(exe, *flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert sum(stacks(out.read_text()).values()) == 1


def test_a_rate_of_one_or_more_names_hz(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-r", 100, "-s", 0, "-p", busy.pid)
    assert done.returncode == 0
    assert "not a rate in Hz: one sample every 100 s" in done.stderr
    assert "for 100 Hz write -r 0.01" in done.stderr
    assert sum(stacks(done.stdout).values()) == 1


def test_abi_refuses_another_version(exe, some_python, target):
    busy = target(some_python, BUSY)
    mine = re.search(r"python3\.(\d+)$", some_python)[1]
    assert profile(exe, "--abi", f"3{mine}", "-s", 0, "-p", busy.pid).returncode == 0
    done = profile(exe, "--abi", "38" if mine != "8" else "39", "-s", 0, "-p", busy.pid)
    assert done.returncode == 1
    assert f"runs Python 3.{mine}, not the 3." in done.stderr


def test_version_and_help(exe):
    assert re.fullmatch(r"guaco \S+ \(Python 3\.8 to 3\.15\)\n", profile(exe, "-v").stdout)
    for word in [], ["record"], ["dump"]:
        done = profile(exe, *word, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "--pid PID" in done.stdout


# ---- where it goes ----------------------------------------------------------------------


def test_what_cannot_be_written_is_said_before_recording(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    begin = time.monotonic()
    for path, text in (
        (tmp_path / "none" / "x", "No such file"),
        (tmp_path, "Is a directory"),
    ):
        done = profile(exe, "-s", 600, "-o", path, "-p", busy.pid)
        assert done.returncode == 1
        assert text in done.stderr
    assert time.monotonic() - begin < 30


def test_a_full_disk(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-s", 0, "-o", "/dev/full", "-p", busy.pid)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr


def test_a_full_disk_leaves_the_old_file(exe, some_python, target, tmp_path):
    """A file system of one page, as only root can make it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    busy = target(some_python, BUSY)
    folder = tmp_path / "small"
    folder.mkdir()
    script = f"""mount -t tmpfs -o size=4096 none {folder} || exit 77
echo old > {folder}/x.svg
{exe} profile -s 0.1 -o {folder}/x.svg -p {busy.pid}; echo $?
cat {folder}/x.svg; ls -A {folder}"""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True
    )
    if done.returncode == 77 or not done.stdout:
        pytest.skip(f"no mount here: {done.stderr}")
    assert done.stdout.split() == ["1", "old", "x.svg"]
    assert "No space left on device" in done.stderr


def test_a_closed_pipe(exe, some_python, target):
    busy = target(some_python, BUSY)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [exe, "profile", "-s", "0", "-p", str(busy.pid)],
        stdout=writer, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S,
    )
    os.close(writer)
    assert done.returncode == 1
    assert "Broken pipe" in done.stderr


def test_a_command_keeps_its_broken_pipe(exe, tmp_path):
    """SIGPIPE is ignored by the profiler, not by what it starts."""
    done = profile(exe, "-o", tmp_path / "x", "-t", "sh", "-c", "kill -PIPE $$; echo on")
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on_to_the_command(exe, some_python, tmp_path, number):
    code = f"""
import signal, sys
signal.signal({int(number)}, lambda *_: sys.exit(9))
print("ready", flush=True)
while True: pass"""
    recorder = subprocess.Popen(
        [exe, "profile", "-o", tmp_path / "x", "-t", some_python, "-S", "-c", code],
        stdout=subprocess.PIPE, text=True,
    )
    assert recorder.stdout.readline() == "ready\n"
    recorder.send_signal(number)
    assert recorder.wait(DEADLINE_S) == 9
    assert (tmp_path / "x").exists()


def test_a_signal_to_standard_output_says_what_is_missing(exe, some_python, target):
    busy = target(some_python, BUSY)
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-p", str(busy.pid)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    until_it_samples(recorder)
    recorder.send_signal(signal.SIGUSR1)
    assert "use -o" in recorder.stderr.readline()
    recorder.send_signal(signal.SIGINT)
    out, _ = recorder.communicate(timeout=DEADLINE_S)
    assert sum(stacks(out).values()) > 0


def test_a_long_run_shows_progress_at_a_terminal(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    main, side = pty.openpty()
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-o", tmp_path / "x", "-p", str(busy.pid)],
        stdout=subprocess.PIPE, stderr=side,
    )
    os.close(side)
    text = ""
    while not re.search(r"2 s, \d+ samples; Ctrl-C ends it", text):
        text += os.read(main, 4096).decode()
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(DEADLINE_S) == 0
    assert recorder.stdout.read() == b""
    os.close(main)
    assert pathlib.Path(tmp_path / "x").stat().st_size > 0


# ---- the executable for containers and sudo -----------------------------------------------


@pytest.fixture
def alone(exe):
    """guaco-profile, beside guaco."""
    path = pathlib.Path(exe).with_name("guaco-profile")
    assert path.is_file()
    return path


def test_the_profiler_alone_is_small_and_needs_the_c_library_only(alone):
    if b"__asan_init" in alone.read_bytes():
        pytest.skip("built with a sanitizer")
    assert alone.stat().st_size <= 500_000
    needed = subprocess.run(["ldd", alone], capture_output=True, text=True).stdout
    names = {line.split()[0].split("/")[-1].split(".")[0] for line in needed.splitlines()}
    optional = {"libncursesw", "libtinfo"}  # where there is no static one
    assert names - optional <= {"linux-vdso", "libc", "libm", "ld-linux-x86-64"}


def test_the_profiler_alone_does_the_same(alone, some_python, target, tmp_path):
    busy = target(some_python, BUSY)

    def run(*args):
        done = subprocess.run(
            [alone, *map(str, args)], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert sum(stacks(run("-s", 0, "-p", busy.pid)).values()) == 1
    assert "(running" in run("dump", "-p", busy.pid)
    folded = tmp_path / "x"
    run("record", "-d", 0.2, "-f", "raw", "-o", folded, "-p", busy.pid)
    assert "<svg" in run("flamegraph", folded)
    assert "guaco-profile " in run("--version")
