"""guaco.profile, and the C program that uses guaco/profile.h."""

import gc
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import guaco
import guaco.profile
import pytest
from deadline import DEADLINE_S
from test_profile import BUSY, LINE, python, some_python, target

__all__ = ["python", "some_python", "target"]  # fixtures


def spin(seconds):
    end = time.thread_time() + seconds  # whatever share of a core it has
    while time.thread_time() < end:
        sum(range(100))


# ---- this process ----------------------------------------------------------------------


def test_record_writes_what_this_process_did(tmp_path):
    out = tmp_path / "out.svg"
    with guaco.profile.record(out, rate=500) as profile:
        spin(0.4)
        assert profile.counts.stacks > 20
    svg = out.read_text()
    assert re.search(r"test_profile_api\.py:spin:\d+ \(\d\d+ samples", svg)
    assert "pytest" in svg
    with pytest.raises(guaco.Error, match="closed"):
        profile.sample()


def test_record_writes_when_the_block_fails(tmp_path):
    out = tmp_path / "out.folded"
    with pytest.raises(ZeroDivisionError), guaco.profile.record(out, rate=500):
        spin(0.2)
        1 / 0
    assert ":spin:" in out.read_text()


@pytest.mark.parametrize("ending", [".speedscope.json", ".gecko.json", ".trace.json", ".pb"])
def test_record_writes_each_form_by_its_name(tmp_path, ending):
    out = tmp_path / f"x{ending}"
    with guaco.profile.record(out, rate=500):
        spin(0.05)
    assert b"spin" in out.read_bytes()
    if ending.endswith("json"):
        json.loads(out.read_text())


def test_work_that_holds_the_gil_is_seen(tmp_path):
    """One call of C that does not let go: a sampler in Python would see nothing of it."""
    with guaco.profile.record(tmp_path / "x", rate=1000) as profile:
        big = 7**400_000
        hold(big)
    found = sum(n for stack, n in profile_of(tmp_path / "x") if ":hold:" in stack[-1])
    assert found > 50


def hold(big):
    end = time.thread_time() + 0.4
    while time.thread_time() < end:
        big * big


def profile_of(path):
    for line in path.read_text().splitlines():
        stack, count = line.rsplit(" ", 1)
        yield stack.split(";"), int(count)


def test_many_threads_record_themselves_at_once(tmp_path):
    """Start, stop and render under a GIL that all fight for: none waits for ever."""
    failures = []

    def one(n):
        try:
            for k in range(5):
                with guaco.profile.record(tmp_path / f"{n}-{k}", rate=2000, threads="all") as profile:
                    spin(0.01)
                    profile.render("svg")
                    gc.collect()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures
    assert len(list(tmp_path.iterdir())) == 30


def test_a_fork_while_it_records():
    """The child has no sampling thread: closing it must not wait for one."""
    code = """
import os, guaco.profile
profile = guaco.profile.attach(os.getpid(), rate=5000)
profile.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        profile.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
profile.stop()
assert profile.counts.samples > 0
profile.close()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_program_ends_while_it_records(tmp_path):
    code = "import guaco.profile; r = guaco.profile.record('x'); r.__enter__()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_comes_when_it_is_asked_for():
    code = "import guaco; print('guaco.profile' in __import__('sys').modules, guaco.profile.attach)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.match(r"False <function attach at ", done.stdout), done.stderr


# ---- another process -------------------------------------------------------------------


def test_attach_to_each_interpreter(python, target):
    busy = target(python, BUSY)
    with guaco.profile.attach(busy.pid, rate=500, threads="gil") as profile:
        profile.run(0.3)
        counts = profile.counts
        stacks = profile.stacks()
    assert counts.stacks > 30
    assert not counts.has_ended
    assert sum(stacks.values()) == counts.stacks
    names = {tuple(f.split(":")[-2] for f in stack)[:6] for stack in stacks}
    assert names == {("<module>", "top", "top", "top", "top", "middle")}


def test_one_sample_and_its_forms(some_python, target):
    busy = target(some_python, BUSY)
    with guaco.profile.attach(busy.pid, threads="all", by_function=True) as profile:
        assert profile.sample() is True
        assert profile.counts[:2] == (1, 1)
        (stack,) = profile.stacks()
        assert not re.search(r":\d+$", stack[0])
        assert LINE.fullmatch(profile.render().decode().strip()) is None
        assert profile.render("svg").startswith(b"<?xml")
        for form in "speedscope", "gecko", "chrome":
            json.loads(profile.render(form))


def test_a_dump_as_objects(some_python, target):
    busy = target(some_python, BUSY)
    with guaco.profile.attach(busy.pid) as profile:
        (thread,) = profile.dump(locals=True)
        assert (thread["pid"], thread["os_thread_id"]) == (busy.pid, busy.pid)
        assert thread["active"] is True
        top = thread["frames"][-2]
        assert (top["name"], top["locals"]) == ("top", [{"name": "n", "repr": "3"}])
        assert "locals" not in profile.dump()[0]["frames"][0]


def test_the_end_of_the_process_is_told(some_python, target):
    busy = target(some_python, BUSY)
    with guaco.profile.attach(busy.pid, threads="all") as profile:
        assert profile.sample()
        busy.process.kill()
        busy.process.wait()
        assert profile.sample() is False
        assert profile.counts.has_ended
        profile.run(60)  # returns at once
        assert sum(profile.stacks().values()) == 1


def test_what_is_wrong_has_its_exception(start):
    with pytest.raises(ProcessLookupError):
        guaco.profile.attach(2**22 + 1)
    shell = start("/bin/sh", "-c", "echo ready; read x < /dev/zero")
    shell.read_until("ready")
    with pytest.raises(guaco.Error, match="runs no Python"):
        guaco.profile.attach(shell.pid)
    with pytest.raises(ValueError, match="process -1"):
        guaco.profile.attach(-1)
    with pytest.raises(ValueError, match="rate is"):
        guaco.profile.attach(1, rate=0)
    with pytest.raises(ValueError, match="threads is"):
        guaco.profile.attach(1, threads="some")
    with pytest.raises(ValueError, match="format is"):
        guaco.profile.record("x", format="gif")
    with guaco.profile.attach(os.getpid()) as profile:
        profile.start()
        with pytest.raises(guaco.Error, match="started already"):
            profile.start()
        profile.stop()
        profile.stop()
        with pytest.raises(ValueError, match="format is"):
            profile.render("gif")
    profile.close()


def test_a_process_of_another_user(some_python, target):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    busy = target(some_python, BUSY)
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            guaco.profile.attach(busy.pid)
        except PermissionError as failure:
            os._exit(7 if "not permitted" in str(failure) else 8)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


# ---- C ------------------------------------------------------------------------------------


def test_the_example_in_c_draws_a_process(some_python, target, tmp_path):
    build = os.environ.get("GUACO_BUILD")
    example = pathlib.Path(build or "", "examples/profile_example")
    if build is None or not example.exists():
        pytest.skip("GUACO_BUILD does not name a folder with the examples")
    busy = target(some_python, BUSY)
    out = tmp_path / "out.svg"
    done = subprocess.run([example, str(busy.pid), "0.3", out], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"\d\d+ stacks in ", done.stdout)
    assert ":middle:" in out.read_text()
    done = subprocess.run([example, "4194305", "0.1", out], capture_output=True, text=True)
    assert done.returncode == 1
    assert "profile: " in done.stderr
