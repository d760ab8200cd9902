"""The supervisor, end to end, with workers that only speak its protocol."""

import json
import os
import pathlib
import re
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable

import pytest
from conftest import Program
from deadline import DEADLINE_S, wait_gone

Start = Callable[..., Program]


@pytest.fixture
def python(tmp_path: pathlib.Path) -> str:
    """A program for --python that is the fake worker, whatever its arguments."""
    script = tmp_path / "fake-python"
    worker = pathlib.Path(__file__).with_name("fake_worker.py")
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{worker}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


@pytest.fixture
def serve(start: Start, python: str, tmp_path: pathlib.Path) -> Start:
    """serve(target, *options): guaco serve on a free port, with fake workers."""

    def run(target: str, *options: str, command: str = "serve") -> Program:
        return start(
            "guaco",
            command,
            target,
            "--python",
            python,
            # The fake workers do not share a socket fairly.
            *(() if command == "work" else ("--bind", "127.0.0.1:0", "--reuse-port")),
            *options,
            env={"FAKE_STORE": f"sqlite:///{tmp_path / 'q.db'}"},
        )

    return run


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=DEADLINE_S)


def ask(url: str, word: str = "who") -> dict:
    """What one worker says about itself; {} when it died in the middle."""
    with connect(url) as s:
        s.sendall(word.encode())
        try:
            line = s.makefile().readline()
        except ConnectionError:
            return {}
    return json.loads(line) if line else {}


def until(condition: Callable[[], object], what: str) -> None:
    """Ask again until it holds; each call of `condition` itself waits on a socket."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what


def test_a_worker_gets_its_options_and_sockets(serve: Start) -> None:
    tree = serve("fake:serve", "--timeout-send", "1.5", "--no-access-log")
    url = tree.url()
    me = ask(url)
    assert me["role"] == "web"
    assert me["target"] == "fake:serve"
    assert me["argv"] == ["-m", "guaco._worker", "web", "0", "fake:serve"]
    assert me["ppid"] == tree.pid
    assert (me["slot"], me["generation"]) == (0, 1)
    bind = url.removeprefix("http://")
    assert me["sockets"] == [{"bind": bind, "tls": False}]
    options = me["options"]
    assert options["timeout_send"] == 1.5
    assert options["timeout_head"] == 15
    assert options["access_log"] is False
    assert options["limit_head_bytes"] == 32768
    assert options["interface"] == "auto"
    assert options["root_path"] == ""
    assert tree.stop() == 0


def test_dots_before_the_attribute_are_accepted(serve: Start) -> None:
    tree = serve("fake.serve")
    assert ask(tree.url())["target"] == "fake:serve"
    assert tree.stop() == 0


def test_each_worker_has_a_socket_of_its_own(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "3")
    url = tree.url()
    slots: set[int] = set()
    until(lambda: slots.add(ask(url)["slot"]) or len(slots) == 3, "3 slots answer")
    assert tree.stop() == 0
    assert tree.output.count("listening on") == 1


def test_a_port_in_use_is_refused(serve: Start) -> None:
    first = serve("fake:serve", "-w", "2")
    bind = first.url().removeprefix("http://")
    for workers in ("1", "2"):
        second = serve("fake:serve", "-w", workers, "--bind", bind)
        assert second.wait() == 1
        assert "Address already in use" in second.output
    assert first.stop() == 0


def test_a_unix_socket_is_made_and_removed(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:  # its owner has left
        stale.bind(str(path))
    tree = serve("fake:serve", "--uds", str(path))
    tree.read_until(r"listening on unix:")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(path))
        s.sendall(b"who")
        assert json.loads(s.makefile().readline())["role"] == "web"
    assert tree.stop() == 0
    assert not path.exists()


def test_a_dead_worker_is_replaced_and_its_queue_served(serve: Start) -> None:
    tree = serve("fake:serve")
    url = tree.url()
    before = ask(url)["pid"]
    assert ask(url, "die") == {}
    # Connects to the socket of the dead worker, which is its successor's.
    after = ask(url)
    assert after["pid"] != before
    assert after["slot"] == 0
    tree.read_until(r"ended unexpectedly: signal 9 \(Killed\)")
    assert tree.stop() == 0


def test_a_worker_that_leaves_has_its_successor_at_once(serve: Start) -> None:
    tree = serve("fake:serve")
    url = tree.url()
    held = connect(url)
    held.sendall(b"hold")
    before = json.loads(held.makefile().readline())["pid"]
    assert ask(url, "leave")["pid"] == before
    until(lambda: ask(url).get("pid") != before, "a successor answers")
    held.sendall(b"who")  # the old one still serves what it has
    held.close()
    wait_gone(before)
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_a_failing_start_ends_the_tree_with_its_text(serve: Start) -> None:
    tree = serve("fake:fail", "-w", "2")
    assert tree.wait() == 3
    assert "Traceback (most recent call last):\n  no such app\n" in tree.output
    assert "listening" not in tree.output


def test_a_crash_at_the_start_ends_the_tree(serve: Start) -> None:
    tree = serve("fake:crash")
    assert tree.wait() == 3
    assert "signal 9" in tree.output


def test_a_worker_that_keeps_dying_is_restarted_with_pauses(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("serve")
    tree = serve(f"fake:{mode}")
    url = tree.url()
    mode.write_text("crash")
    began = time.monotonic()
    ask(url, "die")
    tree.read_until(r"(?s)(unexpectedly.*){4}")
    assert time.monotonic() - began >= 0.3  # 0, 100 and 200 ms
    mode.write_text("serve")
    assert ask(url)["slot"] == 0  # waited in the kernel's queue meanwhile
    assert tree.stop() == 0


def test_sigterm_lets_open_requests_finish(serve: Start) -> None:
    tree = serve("fake:serve")
    held = connect(tree.url())
    held.sendall(b"hold")
    pid = json.loads(held.makefile().readline())["pid"]
    tree.process.send_signal(signal.SIGTERM)
    tree.read_until("shutting down")
    held.sendall(b"who")
    assert json.loads(held.makefile().readline())["pid"] == pid
    held.close()
    assert tree.wait() == 0


def test_a_second_signal_stops_at_once(serve: Start) -> None:
    tree = serve("fake:serve")
    held = connect(tree.url())
    held.sendall(b"hold")
    held.makefile().readline()
    tree.process.send_signal(signal.SIGTERM)
    tree.read_until("shutting down")
    tree.process.send_signal(signal.SIGTERM)
    assert tree.wait() == 0
    assert "stopping at once" in tree.output
    held.close()


def test_ctrl_c_reaches_the_group_and_drains_once(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2")
    tree.url()
    os.killpg(tree.pid, signal.SIGINT)
    assert tree.wait() == 0
    assert tree.output.count("shutting down") == 1
    assert "unexpectedly" not in tree.output


def test_workers_end_when_the_supervisor_is_killed(serve: Start) -> None:
    tree = serve("fake:serve")
    pid = ask(tree.url())["pid"]
    tree.process.kill()
    wait_gone(pid)


def test_sighup_replaces_all_workers_without_a_failed_request(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2")
    url = tree.url()
    old = {ask(url)["pid"] for _ in range(40)}
    tree.process.send_signal(signal.SIGHUP)
    answers = []
    until(
        lambda: answers.append(ask(url)) or "reloaded" in peek(tree),
        "the reload ends",
    )
    assert all(answers)
    for pid in old:
        wait_gone(pid)
    assert {ask(url)["generation"] for _ in range(20)} == {2}
    assert tree.stop() == 0


def peek(tree: Program) -> str:
    """What it printed so far, without waiting."""
    stream = tree.process.stdout
    assert stream is not None
    if select.select([stream], [], [], 0)[0]:
        tree.output += os.read(stream.fileno(), 65536).decode(errors="replace")
    return tree.output


def test_a_reload_that_fails_keeps_the_workers(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("serve")
    tree = serve(f"fake:{mode}", "-w", "2")
    url = tree.url()
    mode.write_text("fail")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("no such app")
    tree.read_until("reload stopped")
    assert {ask(url)["generation"] for _ in range(20)} == {1}
    mode.write_text("serve")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    assert {ask(url)["generation"] for _ in range(20)} == {3}
    assert tree.stop() == 0


def test_reload_follows_python_files(serve: Start, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "app"
    source.mkdir()
    (source / "a.py").write_text("")
    tree = serve("fake:serve", "--reload", "--reload-dir", str(source))
    url = tree.url()
    (source / "a.txt").write_text("not watched")
    (source / "a.py").write_text("x = 1")
    tree.read_until("reloaded")
    assert ask(url)["generation"] == 2
    (source / "new").mkdir()
    tree.read_until(r"(?s)(reloaded.*){2}")
    (source / "new" / "b.py").write_text("")
    tree.read_until(r"(?s)(reloaded.*){3}")
    assert tree.stop() == 0


def test_reload_follows_and_leaves_out_what_globs_say(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "app"
    (source / "skipped").mkdir(parents=True)
    tree = serve(
        *("fake:serve", "--reload", "--reload-dir", str(source)),
        *("--reload-include", "*.html", "--reload-include", "*.toml"),
        *("--reload-exclude", "test_*", "--reload-exclude", "skipped"),
    )
    url = tree.url()
    (source / "test_a.py").write_text("")
    (source / "skipped" / "a.py").write_text("")
    (source / "a.html").write_text("")
    tree.read_until("reloaded")
    assert ask(url)["generation"] == 2
    (source / "test_b.py").write_text("")
    (source / "a.toml").write_text("")
    tree.read_until(r"(?s)(reloaded.*){2}")
    assert ask(url)["generation"] == 3
    assert tree.stop() == 0


def test_with_reload_a_failing_start_waits_for_a_change(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "app"
    source.mkdir()
    mode = tmp_path / "mode"
    mode.write_text("fail")
    tree = serve(f"fake:{mode}", "--reload", "--reload-dir", str(source))
    tree.read_until("waiting for a change")
    mode.write_text("serve")
    (source / "a.py").write_text("")
    assert ask(tree.url())["slot"] == 0
    assert tree.stop() == 0


def test_a_worker_that_is_not_ready_in_time_is_killed(
    start: Start, tmp_path: pathlib.Path
) -> None:
    script = tmp_path / "silent"
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    script.chmod(0o700)
    tree = start(
        *("guaco", "serve", "x:y", "--bind", "127.0.0.1:0"),
        *("--python", str(script), "--timeout-worker-start", "50ms"),
    )
    assert tree.wait() == 3
    assert "--timeout-worker-start" in tree.output


def children(tree: Program, word: str) -> list[int]:
    """The tree's children whose command line has the word, by pid."""
    listed = pathlib.Path(f"/proc/{tree.pid}/task/{tree.pid}/children").read_text()
    found = []
    for pid in map(int, listed.split()):
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if word in command.split("\0"):
            found.append(pid)
    return found


@pytest.mark.parametrize(
    ("kind", "slots"), [("thread", 1), ("async", 1), ("process", 3)]
)
def test_kinds_of_task_workers(serve: Start, kind: str, slots: int) -> None:
    tree = serve("fake:serve", "-w", "3", "-k", kind, command="work")
    tree.read_until("workers ready")
    assert len(children(tree, "guaco._worker")) == slots
    assert tree.stop() == 0


def test_up_runs_web_and_task_workers(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2", "-c", "3", command="up")
    url = tree.url()
    assert len(children(tree, "guaco._worker")) == 3
    assert {ask(url)["role"] for _ in range(20)} == {"web"}
    os.killpg(tree.pid, signal.SIGINT)
    assert tree.wait() == 0
    assert "unexpectedly" not in tree.output


def test_each_store_has_one_keeper_which_is_replaced_and_goes_last(
    serve: Start,
) -> None:
    tree = serve("fake:serve", "-w", "3", "-k", "process", command="work")
    tree.read_until("workers ready")
    [keeper] = children(tree, "_keeper")
    os.kill(keeper, signal.SIGKILL)
    tree.read_until(r"keeper 0 .* ended unexpectedly: signal 9")
    until(lambda: children(tree, "_keeper"), "another keeper runs")
    assert children(tree, "_keeper") != [keeper]
    assert tree.stop() == 0
    assert tree.output.count("unexpectedly") == 1


def test_queue_runs_one_worker_and_ends_with_its_code(
    start: Start, python: str
) -> None:
    tree = start("guaco", "queue", "stats", "demo.queue", "--python", python)
    assert tree.wait() == 7
    assert re.search(r"^admin stats demo\.queue$", tree.output, re.M)


def test_the_supervisor_stays_small(serve: Start) -> None:
    tree = serve("fake:serve")
    tree.url()
    status = pathlib.Path(f"/proc/{tree.pid}/status").read_text()
    threads = re.search(r"Threads:\s+(\d+)", status)
    private = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert threads and threads[1] == "1"
    assert private and int(private[1]) < 8192  # 400 without a sanitizer
    assert tree.stop() == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["serve"], "what to run is missing"),
        (["serve", "demo"], "demo is not module:attribute"),
        (["serve", "a:b", "c:d"], "one target, not also c:d"),
        (["serve", "a:b", "--bind", "::1:80"], "is not HOST:PORT"),
        (["serve", "a:b", "--fd", "0"], "fd:0"),
        (["serve", "a:b", "--python", "/nonexistent"], "no program"),
        (["serve", "a:b", "--worker", "2"], "the nearest is --workers"),
        (["fly"], "unknown command fly"),
    ],
)
def test_usage_errors(start: Start, words: list[str], text: str) -> None:
    program = start("guaco", *words)
    assert program.wait() == 2
    assert text in program.output
