"""`guaco profile dump`: threads, their state, their local variables, on every interpreter."""

import json
import re
import subprocess

from test_profile import (
    BUSY,
    SLEEPING,
    profile,
    python,
    some_python,
    target,
    wait_until_asleep,
)

__all__ = ["python", "some_python", "target"]  # fixtures

LOCALS = r"""
import enum, time
class Order: pass
class Color(enum.IntEnum):
    RED = 3
def f(a, b, *rest, key="k", **more):
    big = 2**70 + 5; neg = -12; zero = 0; huge = 10**50; flag = True; none = None
    pi = 2.5; whole = 3.0; text = "h\u00e9llo 'x'\n"; long = "x" * 100
    wide = "\U0001f40d snake"; huge_text = "y" * 5000; data = b"ab\x00\xff"
    items = list(range(8)); pair = (1,); nested = [[[[1]]]]; empty = []
    table = {"a": 1, "b": [2], 3: None}; names = {1, 2, 3}; order = Order(); cls = Order
    color = Color.RED; captured = 41
    def inner(): return captured
    unset = 1
    del unset
    print("ready", flush=True)
    time.sleep(600)
f(1, "two", 3, 4, z=5)
"""
WANTED = {
    "a": "1",
    "b": "'two'",
    "key": "'k'",
    "rest": "(3, 4)",
    "more": "{'z': 5}",
    "big": "1180591620717411303429",
    "neg": "-12",
    "zero": "0",
    "huge": "<int of 180 bits>",
    "flag": "True",
    "none": "None",
    "pi": "2.5",
    "whole": "3.0",
    "text": "'h\u00e9llo \\'x\\'\\n'",
    "long": "'" + "x" * 60 + "...'",
    "wide": "'\U0001f40d snake'",
    "huge_text": "<str of length 5000>",
    "data": "b'ab\\x00\\xff'",
    "items": "[0, 1, 2, 3, 4, ... 3 more]",
    "pair": "(1,)",
    "nested": "[[[... 1 more]]]",
    "empty": "[]",
    "table": "{'a': 1, 'b': [2], 3: None}",
    "names": "<set of 3>",
    "cls": "<class Order>",
    "color": "3",
    "captured": "41",
}


def test_locals_are_those_of_the_frame(exe, python, target):
    program = target(python, LOCALS)
    done = profile(exe, "dump", "--locals", "--json", "-p", program.pid)
    assert (done.returncode, done.stderr) == (0, "")
    (thread,) = json.loads(done.stdout)
    assert thread["pid"] == thread["os_thread_id"] == program.pid
    assert thread["owns_gil"] is False
    frame = thread["frames"][0]
    assert (frame["name"], frame["qualname"]) == ("f", "f")
    found = {local["name"]: local["repr"] for local in frame["locals"]}
    assert re.fullmatch(r"<Order at 0x[0-9a-f]+>", found.pop("order"))
    assert found.pop("inner").startswith("<function at 0x")
    assert found == WANTED


def test_locals_as_text(exe, some_python, target):
    program = target(some_python, LOCALS)
    for words in ["dump", "-l"], ["-d", "-l"]:
        text = profile(exe, *words, "-p", program.pid).stdout
        assert re.match(rf"Process {program.pid}: .*target\.py\nPython 3\.\d+\n\n", text)
        assert "\n    f (" in text
        assert "\n        rest: (3, 4)\n" in text


def test_a_dump_says_who_runs(exe, python, target):
    waits = target(python, SLEEPING)
    wait_until_asleep(exe, waits.pid)
    text = profile(exe, "dump", "-p", waits.pid).stdout
    assert re.findall(r"^Thread \d+ \((.*)\)$", text, re.M) == ["idle", "idle"]
    busy = target(python, BUSY)
    text = profile(exe, "dump", "-p", busy.pid).stdout
    assert f"Thread {busy.pid} (running" in text


def test_locals_of_what_runs_on(exe, python, target):
    """Values change under our eyes: whatever is read, it ends well."""
    busy = target(
        python,
        """
import sys
def leaf(n, items, table):
    text = str(n) * (n % 7)
    items.append(text); table[text] = items
    if len(items) > 50: items.clear(); table.clear()
    return sum(len(x) for x in items)
def loop():
    print("ready", flush=True)
    n, items, table = 0, [], {}
    while True:
        n += 1
        leaf(n, items, table)
loop()
""",
    )
    for _ in range(30):
        done = profile(exe, "dump", "-l", "-p", busy.pid)
        assert done.returncode == 0, done.stderr


def test_running_threads_are_counted_unless_idle_ones_are_wanted(exe, python, target):
    program = target(
        python,
        """
import threading
def nap():
    threading.Event().wait(600)
def spin():
    while True: pass
threading.Thread(target=nap, daemon=True).start()
print("ready", flush=True)
spin()
""",
    )

    def count(*flags):
        done = profile(exe, "record", "-F", "-d", 0.5, "-o", "-", "-f", "raw", *flags, "-p", program.pid)
        assert done.returncode == 0, done.stderr
        found = {"nap": 0, "spin": 0}
        for line in done.stdout.splitlines():
            for name in found:
                if re.search(rf":{name}\b", line):
                    found[name] += int(line.rsplit(" ", 1)[1])
        return found

    running, idle, gil = count(), count("--idle"), count("--gil")
    assert running["spin"] > 10
    assert running["nap"] <= 2
    assert idle["nap"] >= 0.9 * idle["spin"] > 10
    assert gil["spin"] > 10
    assert gil["nap"] == 0


def test_threads_that_exclude_each_other(exe):
    done = subprocess.run([exe, "profile", "record", "-g", "-i", "-p", "1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--gil and --idle exclude each other" in done.stderr
