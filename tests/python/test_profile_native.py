"""`guaco profile --native`: C frames among those of Python, on every interpreter found.

The profiler stops threads for it; that no thread stays stopped is tested too.
"""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from deadline import DEADLINE_S
from test_profile import profile, python, some_python, target

__all__ = ["python", "some_python", "target"]  # fixtures

# Python -> C (a ctypes callback, sorted's key) -> Python -> C that waits.
MIXED = r"""
import time
from functools import reduce
def nap(x):
    print("ready", flush=True)
    time.sleep(600)
def inner(x): return nap(x)
def key(x): return inner(x)
def outer(): return sorted([1], key=key)
def top(): return outer()
top()
"""

COMPRESSING = r"""
import os, zlib
data = os.urandom(1 << 20)
def squeeze(): return zlib.compress(data, 6)
def work():
    while True: squeeze()
print("ready", flush=True)
work()
"""

COUNTING = r"""
import sys, threading, time
def sleeper():
    while True: time.sleep(0.001)
for _ in range(3): threading.Thread(target=sleeper, daemon=True).start()
n = 0
print("ready", flush=True)
while True:
    n += 1
    if n % 20000 == 0: print(n, flush=True)
"""


def has_libdw():
    try:
        ctypes.CDLL("libdw.so.1")
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_libdw(), reason="libdw is not here")


def dumped(exe, pid, is_there):
    """The frames of the one thread, as soon as is_there(frames, names) says so: a thread goes
    into its last call a moment after it has said that it is ready."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = profile(exe, "dump", "--native", "--json", "-p", pid)
        assert (done.returncode, done.stderr) == (0, "")
        (thread,) = json.loads(done.stdout)
        frames = thread["frames"]
        names = [frame["name"] for frame in frames]
        if is_there(frames, names):
            return frames, names
    return pytest.fail(f"it is not there: {frames}")


def folded(exe, pid, wanted):
    """{tuple of frames from the outermost: count} of at least `wanted` samples, and how many
    of them have no C frames since the thread got no processor to stop on."""
    found, bare = {}, 0
    deadline = time.monotonic() + 40
    while sum(found.values()) - bare < wanted:
        assert time.monotonic() < deadline, found
        done = profile(
            exe, "record", "--native", "-F", "-f", "folded", "-o", "/dev/stdout",
            "-r", "200", "-d", "0.5", "-p", pid,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            stack, count = line.rsplit(" ", 1)
            key = tuple(stack.split(";"))
            found[key] = found.get(key, 0) + int(count)
        if match := re.search(r"(\d+) stacks have no C frames", done.stderr):
            bare += int(match[1])
    return found, bare


def status(pid, tid):
    text = pathlib.Path(f"/proc/{pid}/task/{tid}/status").read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", text, re.M))


def assert_runs(program):
    """No thread is traced or stopped, and the program goes on."""
    deadline = time.monotonic() + 20
    for tid in os.listdir(f"/proc/{program.pid}/task"):
        while time.monotonic() < deadline:
            now = status(program.pid, tid)
            if now["TracerPid"] == "0" and now["State"][0] in "RSD":
                break
        assert (now["TracerPid"], now["State"][0] in "RSD") == ("0", True), now
    before = program.read_until(r"(\d+)\n")
    assert program.read_until(r"(\d+)\n") != before


# ---- stacks ------------------------------------------------------------------


def test_c_stands_between_the_frames_it_joins(exe, python, target):
    program = target(python, MIXED)
    frames, names = dumped(
        exe,
        program.pid,
        lambda frames, names: (
            "nap" in names
            and any("libc" in f["filename"] + f["name"] for f in frames[: names.index("nap")])
        ),
    )
    python_names = [f["name"] for f in frames if "native" not in f]
    assert python_names == ["nap", "inner", "key", "outer", "top", "<module>"]
    # The sleep is C of the leaf, the sort lies between key and outer, the
    # interpreter's own start and its way of calling are nowhere.
    between = frames[names.index("key") + 1 : names.index("outer")]
    assert between, names
    assert all(f["native"] and f["line"] == 0 for f in between)
    assert not [n for n in names if "EvalFrame" in n or "ectorcall" in n]
    assert names[-1] == "<module>"
    assert names[names.index("nap") : names.index("key") + 1] == ["nap", "inner", "key"]


def test_time_in_a_library_has_its_name(exe, python, target):
    program = target(python, COMPRESSING)
    found, bare = folded(exe, program.pid, 30)
    total = sum(found.values()) - bare
    # What squeeze() does is all C: its own instructions are a call in 30 ms.
    in_c = sum(n for stack, n in found.items() if behind_python(stack))
    in_libz = sum(n for stack, n in found.items() if "libz.so" in " ".join(behind_python(stack)))
    assert in_c >= total * 0.9, found
    assert in_libz >= total * 0.5, found  # the rest fills the fresh memory of its result


def behind_python(stack):
    """The frames of C that the innermost frame of Python called."""
    last = max((n for n, frame in enumerate(stack) if "target.py:" in frame), default=-1)
    return stack[last + 1 :]


def test_a_python_without_c_below_it_is_as_without_native(exe, python, target):
    program = target(python, "print('ready', flush=True)\ndef f():\n  while True: pass\nf()\n")
    frames, names = dumped(exe, program.pid, lambda _, names: "f" in names)
    assert [f["name"] for f in frames if "native" not in f] == ["f", "<module>"]
    assert names[-2:] == ["f", "<module>"]


def test_bare_n_is_still_pyflames(exe, some_python, target):
    program = target(some_python, COMPRESSING)
    dumped(exe, program.pid, lambda _, names: "squeeze" in names)
    done = profile(exe, "-n", "--threads", "-s", "0.2", "-p", program.pid)
    assert done.returncode == 0
    assert ":squeeze" in done.stdout
    assert "libz" not in done.stdout
    done = profile(exe, "--native", "-n", "--threads", "-s", "0.5", "-p", program.pid)
    assert done.returncode == 0, done.stderr
    assert "libz.so" in done.stdout


def test_the_picture_has_them_and_the_stops_are_told(exe, some_python, target, tmp_path):
    program = target(some_python, COMPRESSING)
    dumped(exe, program.pid, lambda frames, _: any("libz" in f["filename"] for f in frames))
    out = tmp_path / "out.svg"
    done = profile(exe, "record", "--native", "-d", "0.5", "-o", out, "-p", program.pid)
    assert done.returncode == 0, done.stderr
    assert "libz" in out.read_text()
    assert re.search(r"threads were stopped \d+ times, for \d+ us on average", done.stderr)


# ---- what may go wrong -------------------------------------------------------


def test_a_killed_profiler_leaves_no_thread_stopped(exe, some_python, target):
    program = target(some_python, COUNTING)
    for _ in range(20):
        profiler = subprocess.Popen(
            [exe, "profile", "record", "--native", "-i", "-r", "2000", "-f", "folded"]
            + ["-o", "/dev/null", "-p", str(program.pid)],
            stderr=subprocess.PIPE,
        )
        program.read_until(r"\d+\n")
        profiler.send_signal(signal.SIGKILL)
        profiler.communicate()
        assert_runs(program)


def wait_for_tracer(program):
    """Until a sample is seen being taken."""
    deadline = time.monotonic() + DEADLINE_S
    while status(program.pid, program.pid)["TracerPid"] == "0":
        assert time.monotonic() < deadline


def test_a_target_that_ends_ends_the_recording(exe, some_python, target):
    program = target(some_python, COUNTING)
    profiler = subprocess.Popen(
        [exe, "profile", "record", "--native", "-i", "-r", "1000", "-f", "folded"]
        + ["-o", "/dev/stdout", "-p", str(program.pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_tracer(program)
    os.kill(program.pid, signal.SIGKILL)
    out, err = profiler.communicate(timeout=20)
    assert profiler.returncode == 0, err
    assert program.wait() == -signal.SIGKILL


def test_the_commands_own_end_is_passed_on(exe, some_python):
    for text, code in ("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137):
        done = profile(
            exe, "record", "--native", "-r", "1000", "-f", "folded", "-o", "/dev/null",
            "--", some_python, "-S", "-c", f"sum(range(3000000)); {text}",
        )  # fmt: skip
        assert done.returncode == code, done.stderr


def test_signals_reach_a_target_that_is_stopped_again_and_again(exe, some_python, target):
    program = target(
        some_python,
        "import signal\nn = 0\ndef on(*_):\n  global n; n += 1; print('got', n, flush=True)\n"
        "signal.signal(signal.SIGUSR1, on)\nprint('ready', flush=True)\nwhile True: pass\n",
    )
    profiler = subprocess.Popen(
        [exe, "profile", "record", "--native", "-r", "5000", "-f", "folded"]
        + ["-o", "/dev/null", "-p", str(program.pid)],
        stderr=subprocess.PIPE,
    )
    wait_for_tracer(program)
    for n in range(1, 101):
        os.kill(program.pid, signal.SIGUSR1)
        program.read_until(rf"got {n}\n")
    profiler.send_signal(signal.SIGINT)
    profiler.communicate(timeout=20)
    assert profiler.returncode == 0


def test_a_stopped_process_stays_stopped(exe, some_python, target):
    program = target(some_python, COUNTING)
    os.kill(program.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 20
    while status(program.pid, program.pid)["State"][0] != "T":
        assert time.monotonic() < deadline
    done = profile(exe, "dump", "--native", "-p", program.pid)
    assert done.returncode == 0, done.stderr
    assert status(program.pid, program.pid)["State"][0] == "T"
    os.kill(program.pid, signal.SIGCONT)
    assert_runs(program)


def test_a_traced_process_is_said_to_be_so(exe, some_python, target):
    program = target(some_python, COUNTING)
    tracer = subprocess.Popen(
        [some_python, "-c", "import ctypes, sys\n"
         "libc = ctypes.CDLL(None)\n"
         f"assert libc.ptrace(0x4206, {program.pid}, None, None) == 0\n"
         "print('traces', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert tracer.stdout.readline() == "traces\n"
        for word in ["dump"], ["record", "-o", "/dev/null"]:
            done = profile(exe, *word, "--native", "-p", program.pid)
            assert (done.returncode, done.stdout) == (1, "")
            assert f"is traced by process {tracer.pid}" in done.stderr
    finally:
        tracer.communicate()


def test_without_libdw_there_is_a_message(exe, some_python, target, tmp_path):
    program = target(some_python, COUNTING)
    (tmp_path / "libdw.so.1").write_text("no library\n")
    out = tmp_path / "out.svg"
    done = profile(
        exe, "record", "--native", "-o", out, "-p", program.pid,
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"--native needs elfutils' libdw.so.1 \(package libdw1\)", done.stderr)
    assert not out.exists()
    assert_runs(program)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user")
def test_a_process_that_may_not_be_stopped(exe, some_python, target, tmp_path):
    program = target(some_python, COUNTING)
    done = profile(exe, "dump", "--native", "-p", program.pid, user=65534, group=65534)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not permitted to read process" in done.stderr


def test_a_server_is_not_asked_for_it(exe):
    done = profile(exe, "--native", "--socket", "/nowhere")
    assert done.returncode == 2
    assert "--native and --socket exclude each other" in done.stderr


# ---- symbols -----------------------------------------------------------------


def test_a_stripped_library_is_named_by_where_its_functions_begin(
    exe, some_python, target, tmp_path
):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    source = tmp_path / "spin.c"
    source.write_text(
        "#include <stddef.h>\n"
        "static __attribute__((noinline)) long inside(volatile long *n)\n"
        "{ for (;;) ++*n; return *n; }\n"
        "__attribute__((visibility(\"default\"))) long outside(void)\n"
        "{ volatile long n = 0; return inside(&n) + 1; }\n"
    )
    library = tmp_path / "libspin.so"
    subprocess.run(
        ["cc", "-O1", "-s", "-shared", "-fPIC", "-fvisibility=hidden", "-o", library, source],
        check=True,
    )
    program = target(
        some_python,
        "import ctypes\n"
        f"spin = ctypes.PyDLL({str(library)!r})\n"
        "def call(): spin.outside()\nprint('ready', flush=True)\ncall()\n",
    )
    frames, names = dumped(exe, program.pid, lambda _, names: "outside" in names[1:])
    assert re.fullmatch(r"\[libspin\.so\+0x[0-9a-f]+\]", names[0]), names
    assert names[1] == "outside"
    assert frames[1]["filename"] == "libspin.so"
