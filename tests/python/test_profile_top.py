"""`guaco profile top` at a terminal, and the ranking behind it."""

import re
import subprocess

import pytest
from deadline import DEADLINE_S
from screen import Screen
from test_profile import some_python, target

__all__ = ["some_python", "target"]  # fixtures

WORK = """
def quick():
    for i in range(20000): pass
def slow():
    for i in range(80000): pass
def deep(n):
    if n: deep(n - 1)
    else: slow()
print("ready", flush=True)
while True:
    quick(); deep(3)
"""
ROW = re.compile(r"^ *([\d.]+)% +([\d.]+)% +([\d.]+)s +([\d.]+)s  (\S+) \((\S+)\)$", re.M)


@pytest.fixture
def top(exe, some_python, target):
    """top(*flags): a screen with the process of WORK on it."""
    screens = []

    def run(*flags):
        program = target(some_python, WORK)
        screens.append(Screen(exe, "profile", "top", "--delay", "0.3", *flags, "-p", program.pid))
        screens[-1].pid = program.pid
        screens[-1].program = program
        return screens[-1]

    yield run
    for screen in screens:
        screen.process.kill()
        screen.process.wait()


def rows(screen):
    return {m[5]: [float(n) for n in m.groups()[:4]] for m in ROW.finditer(screen.text())}


def test_functions_by_the_time_in_them(top):
    screen = top("--rate", "200")
    screen.wait_for(r"^[4-9] s, \d+ samples")
    assert f"Process {screen.pid}: " in screen.lines[0]
    assert re.match(r"GIL \d+%, active \d+%, threads 1", screen.lines[1])
    shown = rows(screen)
    own, total, own_s, total_s = shown["slow"]
    assert 60 < own <= total <= 100
    assert 60 < shown["deep"][1] <= 100  # a recursive function counts once
    assert shown["deep"][0] < 10
    assert 5 < shown["quick"][0] < 40
    assert shown["<module>"][1] > 99
    assert own_s <= total_s < 20
    assert list(shown)[0] == "slow"  # %Own comes first
    screen.press("q")
    assert screen.end() == 0


def test_keys_sort_show_lines_and_pause(top):
    screen = top()
    screen.wait_for(r"%Own\*")
    screen.press("2")
    screen.wait_for(r"%Total\*.*\n.*%.*<module> \(.*\)$")
    assert list(rows(screen))[0] == "<module>"
    screen.press("s")
    screen.wait_for(r"OwnTime\*")
    screen.press("l")
    screen.wait_for(r"slow \(\S*target\.py:5\)")
    screen.press("p")
    screen.wait_for("PAUSED")
    screen.press("1")
    screen.wait_for(r"%Own\*")
    count = re.search(r"(\d+) samples", screen.text())[1]
    screen.press("p")
    screen.wait_for(r"^(?!.*PAUSED)\d+ s, ")
    screen.wait_for(rf"^\d+ s, (?!{count})\d+ samples")
    screen.press("l")
    screen.wait_for(r"slow \(\S*target\.py\)")
    screen.press("r")
    screen.press("q")
    assert screen.end() == 0


def test_the_end_of_the_process_ends_it(top):
    screen = top()
    screen.wait_for(r"slow \(")
    screen.program.process.kill()
    screen.program.process.wait()
    screen.wait_for("has ended")
    assert screen.end() == 0


def test_a_command_is_ended_with_the_screen(exe, some_python, tmp_path):
    source = tmp_path / "work.py"
    source.write_text(WORK)
    screen = Screen(exe, "profile", "top", "--delay", "0.2", "--", some_python, "-S", source)
    screen.wait_for(r"slow \(")
    assert "ready" not in screen.text()
    screen.press("q")
    assert screen.end() == 128 + 15


def test_without_a_terminal(exe, some_python, target):
    program = target(some_python, WORK)
    done = subprocess.run(
        [exe, "profile", "top", "-p", str(program.pid)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S,
    )
    assert done.returncode == 1
    assert "top needs a terminal" in done.stderr
    assert done.stdout == ""
