"""guaco profile: which threads count, tasks, the processes below, and lost ticks."""

import collections
import re
import time

import pytest
from test_profile import VERSIONS, find, profile
from test_profile_threads import SOURCE as TASKS


@pytest.fixture(params=["3.8", "3.12", "3.15"])
def python(request):
    path = find(request.param)
    if path is None:
        pytest.skip(f"no python{request.param} here")
    return path


@pytest.fixture
def some_python():
    for version in reversed(VERSIONS):
        if path := find(version):
            return path
    pytest.skip("no interpreter from 3.8 to 3.15 here")


@pytest.fixture
def target(start, tmp_path):
    def run(python, source):
        path = tmp_path / "target.py"
        path.write_text(source)
        program = start(python, str(path))
        program.read_until("ready")
        return program

    return run


def leaves(text):
    found = collections.Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        found[stack.split(";")[-1].split(":")[-1]] += int(count)
    return found


def until(exe, is_there, *words):
    """The output of as many recordings as it takes for is_there(leaves): on a busy machine one
    has few samples, and what is seldom is in none of them."""
    text = ""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        done = profile(exe, *words)
        assert done.returncode == 0, done.stderr
        text += done.stdout
        if is_there(leaves(text)):
            return text
    return pytest.fail(f"not seen: {leaves(text)}")


# ---- modes ----------------------------------------------------------------------


def test_cpu_mode_counts_what_runs_and_wall_all(exe, python, target):
    program = target(python, TASKS)
    words = ["-n", "-s", 0.4, "-r", 0.005, "-p", program.pid]
    cpu = until(exe, lambda found: found["spin"] > 10, "--mode", "cpu", *words)
    assert "wait" not in leaves(cpu)
    until(exe, lambda found: found["wait"] > 20, "--mode", "wall", *words)
    gil = profile(exe, "--mode", "gil", *words)
    assert "wait" not in leaves(gil.stdout)


def test_states_end_the_stacks(exe, python, target):
    program = target(python, TASKS)
    words = ["-n", "-s", 0.4, "-r", 0.005, "-p", program.pid]
    text = until(
        exe,
        lambda found: found["(waits)"] > 20 and found["(waits for the GIL)"] > 0,
        *("--mode", "wall", "--states"),
        *words,
    )
    for line in text.splitlines():
        assert not re.search(r":spin;\(waits\)", line), line


def test_tasks_begin_the_stacks(exe, python, target):
    program = target(python, TASKS)
    words = ["-n", "-s", 0.4, "-r", 0.005, "-p", program.pid]
    done = profile(exe, "--tasks", *words)
    whole = "task Task-1;task the π parent;task the child;"
    assert any(line.startswith(whole) for line in done.stdout.splitlines()), done.stdout


def test_a_mode_that_is_none(exe):
    done = profile(exe, "--mode", "memory", "-p", 1)
    assert (done.returncode, "--mode is gil, cpu or wall" in done.stderr) == (2, True)


def test_jitter_keeps_the_number_of_samples(exe, some_python, target):
    program = target(some_python, TASKS)
    done = profile(exe, "--jitter", "-s", 0.5, "-r", 0.01, "-p", program.pid)
    assert done.returncode == 0
    assert 5 <= sum(int(n) for n in re.findall(r" (\d+)$", done.stdout, re.M)) <= 60


def test_missed_ticks_are_told(exe, some_python, target, tmp_path):
    """No machine samples every microsecond."""
    program = target(some_python, TASKS)
    out = tmp_path / "out.svg"
    done = profile(exe, "-r", 0.000001, "-s", 0.2, "-o", out, "-p", program.pid)
    assert re.search(r"\d+ of \d+ ticks were missed and \d+ late", done.stderr)
    assert re.search(r"\d+ ticks missed\)", out.read_text())


# ---- the processes below -----------------------------------------------------------

PARENT = """
import os, subprocess, sys
child = f'''
import subprocess, sys
def in_child():
    for i in range(3 * 10**6): pass
in_child()
'''
def forked():
    for i in range(3 * 10**6): pass
if os.fork() == 0:
    forked()
    os._exit(0)
one = subprocess.Popen([sys.executable, "-S", "-c", child])
other = subprocess.Popen(["/bin/sh", "-c", f"{sys.executable} -S -c '{child}'; true"])
def in_parent():
    for i in range(2 * 10**6): pass
    one.wait(), other.wait(), os.wait()
in_parent()
sys.exit(5)
"""


def test_processes_below_are_followed_from_birth(exe, python, tmp_path):
    source = tmp_path / "parent.py"
    source.write_text(PARENT)
    done = profile(
        exe, "--subprocesses", "-n", "--threads", "-r", 0.004, "-t", python, "-S", source
    )
    assert done.returncode == 5, done.stderr
    names = collections.defaultdict(set)
    for line in done.stdout.splitlines():
        process, _, stack = line.rpartition(" ")[0].partition(";")
        names[process] |= set(re.findall(r":(\w+)(?:;|$)", stack + ";"))
    by_function = {
        name: [process for process, known in names.items() if name in known]
        for name in ("in_parent", "forked", "in_child")
    }
    assert len(by_function["in_parent"]) == 1, names
    assert len(by_function["forked"]) == 1, names
    assert len(by_function["in_child"]) == 2, names
    assert all(re.fullmatch(r"process \d+", process) for process in names)


def test_without_it_they_are_not(exe, some_python, tmp_path):
    source = tmp_path / "parent.py"
    source.write_text(PARENT)
    done = profile(exe, "-n", "--threads", "-r", 0.01, "-t", some_python, "-S", source)
    assert done.returncode == 5, done.stderr
    assert "in_child" not in done.stdout
    assert "in_parent" in done.stdout


def test_children_that_are_no_python_are_let_be(exe, some_python, tmp_path):
    source = tmp_path / "parent.py"
    source.write_text(
        "import subprocess\n"
        "for i in range(20): subprocess.run(['/bin/true'])\n"
        "for i in range(10**6): pass\n"
    )
    done = profile(exe, "--subprocesses", "-n", "-t", some_python, "-S", source)
    assert done.returncode == 0
    assert len({line.split(";")[0] for line in done.stdout.splitlines()}) >= 1


def test_a_folded_file_stays_one(exe, some_python, target):
    program = target(some_python, TASKS.replace("the child", "a;b\\n c"))
    done = profile(exe, "--tasks", "-n", "-s", 0.2, "-p", program.pid)
    assert all(re.search(r" \d+$", line) for line in done.stdout.splitlines())
    assert "task a_b_ c;" in done.stdout or "task " not in done.stdout


