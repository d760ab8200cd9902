"""`guaco profile` on every interpreter found: 3.8 to 3.15.

Interpreters are looked for below ~/.pyenv/versions and .pythons, and on PATH.  Targets
print a line when they are ready; nothing waits by sleeping.
"""

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

VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"]
ROOT = pathlib.Path(__file__).parents[2]
LINE = re.compile(r"((?:[^;]+:[^;:]+:\d+;)*[^;]+:[^;:]+:\d+|\(idle\)) (\d+)")

BUSY = """
import sys
def leaf(): return sum(range(10))
def middle():
    while True: leaf()
def top(n):
    if n: return top(n - 1)
    print("ready", flush=True)
    middle()
top(3)
"""

SLEEPING = """
import threading
def nap():
    threading.Event().wait(600)
t = threading.Thread(target=nap, daemon=True)
t.start()
print("ready", flush=True)
t.join()
"""


def find(version: str) -> str | None:
    name = f"python{version}"
    folders = [*pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin")]
    folders += [*ROOT.glob(".pythons/**/usr/bin")]
    folders += [*ROOT.glob(".pythons/*/bin")]
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name, path=os.environ.get("GUACO_PYTHONS", "")) or (
        shutil.which(name)
    )


@pytest.fixture(params=VERSIONS)
def python(request):
    """One interpreter after the other."""
    path = find(request.param)
    if path is None:
        pytest.skip(f"no python{request.param} here")
    return path


@pytest.fixture
def some_python():
    """Any one of them."""
    for version in reversed(VERSIONS):
        if path := find(version):
            return path
    pytest.skip("no interpreter from 3.8 to 3.15 here")


@pytest.fixture
def target(start, tmp_path):
    """target(python, source): the pid of a program that has said it is ready."""

    def run(python, source):
        path = tmp_path / "target.py"
        path.write_text(source)
        program = start(python, "-S", str(path))
        program.read_until("ready")
        return program

    return run


def profile(exe, *args, **options):
    return subprocess.run(
        [exe, "profile", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        **options,
    )


def stacks(text):
    """{tuple of "function" from the outermost: count}; every line is of the form."""
    found = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        frames = match.group(1).split(";")
        names = tuple(f.split(":")[-2] if ":" in f else f for f in frames)
        found[names] = found.get(names, 0) + int(match.group(2))
    return found


def wait_until_asleep(exe, pid):
    """Both threads of SLEEPING wait: "ready" comes a moment earlier."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        text = profile(exe, "-d", "-p", pid).stdout
        if ":nap:4\n" in text and ":<module>:8\n" in text and ":wait:" in text:
            return
    pytest.fail(f"it does not sleep: {text}")


# ---- stacks ------------------------------------------------------------------


STRADDLING = """
import time
def other(): return 0
def spin():
    end = time.process_time() + 0.02
    while time.process_time() < end: pass
def begin(words):
    locals_ = " = ".join(f"a{n}" for n in range(words))
    scope = {}
    exec(f"def caller(f): return f()\\ndef below(g, f):\\n {locals_} = 0\\n return g(f)", scope)
    for _ in range(100): scope["caller"](other)
    scope["below"](scope["caller"], spin)
for n in range(46): begin(1 + 12 * n)
"""


@pytest.mark.parametrize("version", VERSIONS[3:])
def test_a_call_of_another_than_the_specialised_is_whole(exe, version, tmp_path):
    """Wherever a page ends: the frames of the call move over one in 46 steps."""
    if (python := find(version)) is None:
        pytest.skip(f"no python{version} here")
    source = tmp_path / "straddling.py"
    source.write_text(STRADDLING)
    out = tmp_path / "out"
    done = profile(exe, "-r", 0.001, "-x", "-o", out, "-t", python, "-S", source)
    assert done.returncode == 0, done.stderr
    found = stacks(out.read_text())
    whole = ("<module>", "begin", "below", "caller", "spin")
    assert found[whole] > 100
    assert sum(n for stack, n in found.items() if stack[-1] == "caller") <= 2


def test_a_busy_process_shows_its_stack(exe, python, target):
    busy = target(python, BUSY)
    done = profile(exe, "-p", busy.pid, "-s", 0.5, "-r", 0.005)
    assert done.returncode == 0, done.stderr
    found = stacks(done.stdout)
    assert sum(found.values()) > 10
    prefix = ("<module>", "top", "top", "top", "top", "middle")
    running = {k: n for k, n in found.items() if k[:6] == prefix}
    assert set(running) <= {prefix, (*prefix, "leaf")}
    assert sum(running.values()) >= 0.98 * sum(found.values())
    lines = {f for line in done.stdout.splitlines() for f in line.split(" ")[0].split(";")}
    path = str(pathlib.Path(busy.process.args[-1]))
    assert f"{path}:<module>:10" in lines
    assert f"{path}:top:7" in lines
    assert f"{path}:middle:5" in lines


WORKING = """
import sys
def inner(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return x
def outer(x):
    return inner(x) + inner(x)
def run():
    print("ready", flush=True)
    while True:
        outer(3)
def deep(n):
    if n:
        deep(n - 1)
    else:
        run()
deep(DEPTH)
"""


def test_a_page_in_the_stack_changes_no_share(exe, python, target):
    """Frames are some 112 bytes, and at these depths a page of 4 KiB ends among them."""
    if not python.endswith(("3.11", "3.15")):
        pytest.skip("one version that marks frames and one that clears them")
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("needs two processors")

    first, *_, last = sorted(os.sched_getaffinity(0))

    def come_first(pid, cpu):
        """Samples of a process that does not run are one sample."""
        os.sched_setaffinity(pid, {cpu})
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-19")

    def share_of_inner(depth):
        busy = target(python, WORKING.replace("DEPTH", str(depth)))
        try:
            come_first(busy.pid, last)
        except OSError as why:
            pytest.skip(f"the processors cannot be had: {why}")
        inner = total = 0
        while total < 200:
            done = profile(
                exe, "-s", 0.2, "-r", 0.0005, "-p", busy.pid,
                start_new_session=True,
                preexec_fn=lambda: come_first(os.getpid(), first),
            )
            found = stacks(done.stdout)
            total += sum(found.values())
            inner += sum(n for names, n in found.items() if names[-1] == "inner")
        busy.process.kill()
        return 100 * inner / total

    within = share_of_inner(20)
    for depth in (29, 30, 31, 32, 33):
        assert abs(share_of_inner(depth) - within) < 25, depth


def test_a_waiting_process_is_idle(exe, python, target):
    waits = target(python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    done = profile(exe, "-p", waits.pid, "-s", 0.2)
    assert set(stacks(done.stdout)) == {("(idle)",)}
    done = profile(exe, "-p", waits.pid, "-s", 0.2, "-x")
    assert (done.returncode, done.stdout) == (0, "")


def test_threads_shows_those_that_wait(exe, python, target):
    waits = target(python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    done = profile(exe, "-p", waits.pid, "-s", 0.2, "--threads", "-n")
    leaves = {names for names in done.stdout.splitlines()}
    assert any(":nap;" in line for line in leaves)
    assert any(":join" in line and ":nap" not in line for line in leaves)


def test_dump_has_a_paragraph_a_thread(exe, python, target):
    waits = target(python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    done = profile(exe, "-d", "-p", waits.pid)
    assert done.returncode == 0
    assert len(re.findall(r"^\d+\*?:$", done.stdout, re.M)) == 2
    assert re.search(r":nap:4$", done.stdout, re.M)
    assert re.search(r":<module>:8$", done.stdout, re.M)


def test_what_runs_is_not_idle(exe, python):
    """A generator under sum(), from the first moment of the process on."""
    code = "print(sum(i*i for i in range(10**7)))"
    done = profile(exe, "-t", python, "-S", "-c", code)
    text, _, folded = done.stdout.partition("\n")
    assert text == "333333283333335000000"
    found = stacks(folded)
    total = sum(found.values())
    assert total > 5
    assert found.get(("(idle)",), 0) <= max(3, 0.1 * total)
    assert any(names[-1] == "<genexpr>" for names in found)


def test_freed_functions_do_not_lend_their_names(exe, python, target):
    """Each round makes code objects anew, where those of the last one lay.

    To 3.13 freed code objects are not counted: names are compared, those of functions by
    hash, those of files by their last bytes.
    """
    churn = target(
        python,
        """
print("ready", flush=True)
n = 0
while True:
    n += 1
    source = f"def f{n:06}():\\n for i in range(20000): pass\\nf{n:06}()"
    exec(compile(source, f"module.g{n:06}", "exec"), {})
""",
    )
    pairs = []
    deadline = time.monotonic() + 40
    while len(pairs) < 300:  # so that the share below is of many
        assert time.monotonic() < deadline, len(pairs)
        done = profile(exe, "-p", churn.pid, "-s", 1, "-r", 0.002)
        pairs += re.findall(r"g(\d{6}):<module>:\d+;module.g(\d{6}):f(\d{6}):", done.stdout)
    wrong = [pair for pair in pairs if len(set(pair)) > 1]
    assert len(wrong) <= 0.02 * len(pairs), wrong[:5]
    numbers = [int(pair[0]) for pair in pairs]
    assert max(numbers) - min(numbers) > 20


# ---- the command ---------------------------------------------------------------


def test_trace_passes_everything_through(exe, python, tmp_path):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    out = tmp_path / "out"
    done = profile(exe, "-x", "-o", out, "-t", python, "-S", "-c", code)
    assert done.returncode == 7
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")
    assert out.exists()


def test_a_pipe_is_written_to_and_not_replaced(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-s", 0, "-o", "/dev/stdout", "-p", busy.pid)
    assert sum(stacks(done.stdout).values()) == 1


def test_a_link_is_followed_and_stays_one(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    (tmp_path / "file").write_text("old\n")
    (tmp_path / "link").symlink_to("file")
    with open(tmp_path / "out", "w") as out:
        out.write("before\n")
        out.flush()
        for name in ("/dev/stdout", tmp_path / "link"):
            subprocess.run(
                [exe, "profile", "-s", "0", "-o", str(name), "-p", str(busy.pid)],
                stdout=out, check=True, timeout=DEADLINE_S,
            )
    assert os.path.islink("/dev/stdout")
    first, *rest = (tmp_path / "out").read_text().splitlines()
    assert (first, len(rest)) == ("before", 1)
    assert (tmp_path / "link").is_symlink()
    assert sum(stacks((tmp_path / "file").read_text()).values()) == 1


def test_trace_gives_a_signal_as_a_shell_does(exe, some_python, tmp_path):
    code = "import os; os.kill(os.getpid(), 9)"
    done = profile(exe, "-o", tmp_path / "out", "-t", some_python, "-S", "-c", code)
    assert done.returncode == 128 + 9


def test_a_command_that_is_not_there(exe):
    done = profile(exe, "-t", "/no/such/program")
    assert done.returncode != 0
    assert "/no/such/program" in done.stderr


def test_one_sample(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-s", 0, "-p", busy.pid)
    assert sum(stacks(done.stdout).values()) == 1


def test_functions_without_lines(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "-n", "-s", 0.3, "-p", busy.pid)
    lines = done.stdout.splitlines()
    assert len({line.rsplit(" ", 1)[0] for line in lines}) == len(lines)
    assert not any(re.search(r":\d+ \d+$", line) for line in lines), lines
    assert any(":middle" in line for line in lines)  # as the leaf or below it


def test_flamechart_has_times(exe, some_python, target):
    busy = target(some_python, BUSY)
    done = profile(exe, "--flamechart", "-s", 0.2, "-p", busy.pid)
    lines = done.stdout.splitlines()
    times = [int(line) for line in lines[::2]]
    assert times == sorted(times)
    assert abs(times[-1] / 1e6 - time.time()) < 60
    assert all(line.endswith(";") or line == "(idle)" for line in lines[1::2])
    assert ":middle:" in lines[-1]


def test_a_picture_by_the_name_of_the_file(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    out = tmp_path / "out.svg"
    old = os.umask(0o027)
    try:
        done = profile(exe, "-s", 0.3, "-o", out, "-p", busy.pid)
    finally:
        os.umask(old)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.stat().st_mode & 0o777 == 0o640
    assert "<title>all (" in out.read_text()
    assert ":middle:" in out.read_text()


def test_a_picture_of_folded_text(exe, tmp_path):
    folded = tmp_path / "x.folded"
    folded.write_text("a;b 3\na;c 1\n")
    done = subprocess.run([exe, "flamegraph", folded], capture_output=True, text=True)
    assert done.returncode == 0
    assert "<title>b (3 samples, 75.00%)</title>" in done.stdout


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([], "a process is missing"),
        (["-p", "x"], "-p takes a process id"),
        (["-p"], "--pid lacks its PID"),
        (["-t"], "--trace lacks its COMMAND"),
        (["-p", "1", "-t", "true"], "exclude each other"),
        (["-d", "-t", "true"], "exclude each other"),
        (["-r", "0", "-p", "1"], "-r takes seconds"),
        (["-s", "-1", "-p", "1"], "-s takes seconds"),
        (["-s", "nan", "-p", "1"], "-s takes seconds"),
        (["-f", "gif", "-p", "1"], "-f is"),
        (["--abi", "36", "-p", "1"], "unsupported ABI version: 36"),
        (["--abi", "3", "-p", "1"], "unsupported ABI version: 3"),
        (["1", "2"], "the word 1 is left over"),
        (["-p", "1", "2"], "the word 2 is left over"),
        (["--flamechart", "-f", "pprof", "-p", "1"], "no order of time"),
        (["--nonsense"], "unknown flag --nonsense;"),
        (["--tread", "-p", "1"], "the nearest is --threads"),
        (["--threads=yes", "-p", "1"], "--threads takes no value"),
        (["-xq", "-p", "1"], "unknown flag -xq"),
        (["record", "-p", "1", "-r", "0"], "-r takes samples a second"),
        (["record", "-z", "1", "-p", "1"], "unknown flag -z"),
        (["record", "--durations", "1"], "the nearest is --duration"),
        (["dump", "-p", "1", "-d", "1"], "unknown flag -d"),
        (["dump", "a", "b"], "left over"),
    ],
)
def test_wrong_words_are_refused(exe, args, text):
    done = profile(exe, *args)
    assert done.returncode == 2
    assert text in done.stderr


# ---- what may go wrong ------------------------------------------------------------


def test_no_such_process(exe):
    done = profile(exe, "-p", 2**22 + 1)
    assert done.returncode == 1
    assert "no process" in done.stderr or "No such process" in done.stderr


def test_a_process_that_is_not_python(exe, start):
    shell = start("/bin/sh", "-c", "echo ready; read x < /dev/zero")
    shell.read_until("ready")
    done = profile(exe, "-p", shell.pid)
    assert done.returncode == 1
    assert "runs no Python" in done.stderr


def test_a_process_of_another_user(exe, some_python, target):
    """Run as nobody; only root can try."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    copy = shutil.copy(exe, "/tmp/guaco-as-nobody")
    busy = target(some_python, BUSY)
    try:
        done = subprocess.run(
            [copy, "profile", "-p", str(busy.pid)],
            capture_output=True, text=True, user=65534, timeout=DEADLINE_S,
        )
    finally:
        os.unlink(copy)
    assert done.returncode == 1
    assert "not permitted" in done.stderr


def test_the_target_dies(exe, python, target):
    busy = target(python, BUSY)
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-p", str(busy.pid)],
        stdout=subprocess.PIPE, text=True,
    )
    until_it_samples(recorder)
    busy.process.kill()
    busy.process.wait()
    out, _ = recorder.communicate(timeout=DEADLINE_S)
    assert recorder.returncode == 0
    assert sum(stacks(out).values()) > 0


def test_the_target_becomes_another_python(exe, python, tmp_path):
    second = tmp_path / "second.py"
    second.write_text("def after():\n for i in range(4*10**6): pass\nafter()\n")
    code = (
        "import os, sys\n"
        "def before():\n for i in range(4*10**6): pass\n"
        f"before()\nos.execv(sys.executable, [sys.executable, '-S', {str(second)!r}])"
    )
    done = profile(exe, "-r", 0.002, "-t", python, "-S", "-c", code)
    names = {name for stack in stacks(done.stdout) for name in stack}
    assert {"before", "after"} <= names, done.stdout


def until_it_samples(recorder):
    """It has spent CPU time after attaching: a few ticks' worth."""
    path = pathlib.Path(f"/proc/{recorder.pid}/io")
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        status = pathlib.Path(f"/proc/{recorder.pid}/status").read_text()
        switches = int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status)[1])
        if switches > 20:
            return
    pytest.fail(f"{path}: it does not sample")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_recording(exe, some_python, target, number):
    busy = target(some_python, BUSY)
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-p", str(busy.pid)],
        stdout=subprocess.PIPE, text=True,
    )
    until_it_samples(recorder)
    recorder.send_signal(number)
    out, _ = recorder.communicate(timeout=DEADLINE_S)
    assert recorder.returncode == 0
    assert sum(stacks(out).values()) > 0


def test_a_signal_writes_what_there_is(exe, some_python, target, tmp_path):
    busy = target(some_python, BUSY)
    out = tmp_path / "out.folded"
    recorder = subprocess.Popen(
        [exe, "profile", "-s", "600", "-o", out, "-p", str(busy.pid)]
    )
    until_it_samples(recorder)
    recorder.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + DEADLINE_S
    while not out.exists() and time.monotonic() < deadline:
        pass
    first = sum(stacks(out.read_text()).values())
    assert first > 0
    assert recorder.poll() is None
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(DEADLINE_S) == 0
    assert sum(stacks(out.read_text()).values()) >= first


# ---- tables against the interpreters ------------------------------------------------


def test_opcodes_are_those_of_the_interpreter(python):
    version = re.search(r"python3\.(\d+)$", python)[1]
    if int(version) < 11:
        pytest.skip("frames of this version are objects: no opcode is looked at")
    printed = subprocess.run(
        [python, ROOT / "tools" / "opcode_table.py"], capture_output=True, text=True
    )
    if printed.returncode != 0:
        pytest.skip("this interpreter has no opcode.h")
    text = (ROOT / "src/profile/opcodes.c").read_text()
    table = re.search(rf"opcodes_3_{version}\[\] = {{\n(.*?)\n}};", text, re.S)[1]
    assert printed.stdout.rstrip("\n") == table


LINES = """
import dis, glob, os, sys, sysconfig
kind = 0 if sys.version_info < (3, 10) else 1 if sys.version_info < (3, 11) else 2
def walk(code):
    table = code.co_lnotab if kind == 0 else code.co_linetable
    want = {}
    if kind == 0:
        starts = dict(dis.findlinestarts(code))
        line = code.co_firstlineno
        for at in range(0, len(code.co_code), 2):
            line = starts.get(at, line)
            want[at] = line
    else:
        line = None
        for begin, end, line in code.co_lines():
            if line is not None:
                for at in range(begin, end, 2):
                    want[at] = line
    print(kind, code.co_firstlineno, table.hex())
    print(*want)
    print(*want.values())
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            walk(const)
stdlib, nth = sysconfig.get_path("stdlib"), int(sys.argv[1])
files = sorted(glob.glob(os.path.join(stdlib, "**/*.py" if nth == 1 else "*.py"), recursive=True))
for path in files[::nth]:
    if "site-packages" in path or "dist-packages" in path:
        continue
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, path, "exec")
    except (SyntaxError, ValueError):
        continue # lib2to3's and the tests' own bad files
    walk(code)
"""


def check_lines(python, nth):
    """Every instruction of each nth module of the standard library; 1: packages too."""
    build = os.environ.get("GUACO_BUILD")
    if build is None:
        pytest.skip("GUACO_BUILD does not name a build folder")
    said = subprocess.run([python, "-W", "ignore", "-c", LINES, str(nth)], capture_output=True, text=True)
    lines = said.stdout.splitlines()
    asked = [line for n, line in enumerate(lines) if n % 3 != 2]
    wanted = [line.split() for line in lines[2::3]]
    answered = subprocess.run(
        [pathlib.Path(build) / "tests/profile/lines_probe"],
        input="\n".join(asked) + "\n", capture_output=True, text=True, check=True,
    )
    got = [line.split() for line in answered.stdout.splitlines()]
    assert len(got) == len(wanted) > 1000, said.stderr[-500:]
    wrong = [n for n, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b]
    assert not wrong, (lines[3 * wrong[0]], got[wrong[0]], wanted[wrong[0]])
    return len(got)


def test_lines_are_those_of_the_interpreter(python):
    check_lines(python, 4)
