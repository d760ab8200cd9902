"""How a tree is run: signals, log files, the service manager, another user; with workers
that only speak the supervisor's protocol."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
from collections.abc import Callable, Iterator

import pytest
from conftest import Program
from deadline import DEADLINE_S
from test_supervisor import ask, children, connect, python, serve, until, wait_gone

__all__ = ["python", "serve"]  # fixtures

Start = Callable[..., Program]


def pids(url: str, count: int) -> set[int]:
    """The workers that answer, once there are so many."""
    found: set[int] = set()
    until(lambda: found.add(ask(url).get("pid", 0)) or len(found - {0}) >= count, "pids")
    return found - {0}


# ---- more and fewer workers


def test_ttin_and_ttou_change_the_number_of_workers(serve: Start) -> None:
    tree = serve("fake:serve")
    url = tree.url()
    tree.process.send_signal(signal.SIGTTIN)
    tree.read_until("2 web workers now")
    tree.process.send_signal(signal.SIGTTIN)
    tree.read_until("3 web workers now")
    assert len(pids(url, 3)) == 3
    tree.process.send_signal(signal.SIGTTOU)
    tree.read_until(r"(?s)3 web.*2 web workers now")
    until(lambda: len(children(tree, "guaco._worker")) == 2, "two are left")
    # The kernel still queues on the socket of the third, which another serves.
    assert all(ask(url) for _ in range(60))
    tree.process.send_signal(signal.SIGTTOU)
    tree.read_until("1 web workers now")
    tree.process.send_signal(signal.SIGTTOU)
    tree.read_until("the last worker stays")
    assert {ask(url)["slot"] for _ in range(30)} == {0}
    assert ask(url, "die") == {}  # its successor serves all three too
    assert all(ask(url) for _ in range(30))
    tree.process.send_signal(signal.SIGTTIN)
    tree.read_until(r"(?s)stays.*2 web workers now")
    assert len(pids(url, 2)) == 2
    assert tree.stop() == 0
    assert tree.output.count("unexpectedly") == 1


def test_task_processes_are_scaled_and_threads_are_not(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2", "-k", "process", command="work")
    tree.read_until("workers ready")
    tree.process.send_signal(signal.SIGTTIN)
    tree.read_until("3 tasks workers now")
    until(lambda: len(children(tree, "guaco._worker")) == 3, "three run")
    tree.process.send_signal(signal.SIGTTOU)
    tree.read_until("2 tasks workers now")
    assert tree.stop() == 0
    threads = serve("fake:serve", "-w", "2", command="work")
    threads.read_until("workers ready")
    threads.process.send_signal(signal.SIGTTIN)
    threads.read_until("can be made more or fewer")
    assert threads.stop() == 0


def test_winch_stops_the_web_workers_until_hup(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2")
    url = tree.url()
    old = pids(url, 2)
    tree.process.send_signal(signal.SIGWINCH)
    for pid in old:
        wait_gone(pid)
    with connect(url) as waiting:  # in the kernel's queue meanwhile
        waiting.sendall(b"who")
        tree.process.send_signal(signal.SIGHUP)
        assert json.loads(waiting.makefile().readline())["pid"] not in old
    assert len(pids(url, 2)) == 2
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_quit_ends_the_tree_at_once(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2")
    with connect(tree.url()) as held:
        held.sendall(b"hold")
        held.makefile().readline()
        tree.process.send_signal(signal.SIGQUIT)
        assert tree.wait() == 0
    assert "stopping at once" in tree.output


# ---- renewal


def test_a_worker_that_is_exhausted_serves_until_its_successor_is_ready(
    serve: Start,
) -> None:
    tree = serve("fake:serve")
    url = tree.url()
    with connect(url) as held:
        held.sendall(b"hold")
        before = json.loads(held.makefile().readline())["pid"]
        assert ask(url, "exhaust")["pid"] == before
        tree.read_until("served its number of requests; it is replaced")
        until(lambda: ask(url)["pid"] != before, "the successor answers")
        held.sendall(b"who")
    wait_gone(before)
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


def test_a_successor_that_fails_leaves_the_worker_that_serves(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("serve")
    tree = serve(f"fake:{mode}")
    url = tree.url()
    before = ask(url)["pid"]
    mode.write_text("fail")
    ask(url, "exhaust")
    tree.read_until("a successor failed; the worker before it goes on")
    assert ask(url)["pid"] == before
    mode.write_text("serve")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    assert ask(url)["pid"] != before
    assert tree.stop() == 0


def test_a_worker_is_replaced_at_the_end_of_its_lifetime(serve: Start) -> None:
    tree = serve("fake:serve", "-w", "2", "--worker-lifetime", "300ms")
    url = tree.url()
    old = pids(url, 2)
    tree.read_until(r"(?s)(is as old as --worker-lifetime.*){2}")
    for pid in old:
        wait_gone(pid)
    assert all(ask(url) for _ in range(20))
    assert tree.stop() == 0
    assert "unexpectedly" not in tree.output


# ---- log files


def test_usr1_opens_the_log_files_again(
    serve: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    errors, access = tmp_path / "e.log", tmp_path / "a.log"
    with manager(tmp_path / "notify") as read:
        tree = serve(
            *("fake:serve", "--error-logfile", "e.log"),
            *("--access-logfile", "a.log", "-w", "2"),
        )
        assert read()["READY"] == "1"
        until(lambda: "listening on" in errors.read_text(), "the log is written")
    url = re.search(r"http://[\d.:]+", errors.read_text())
    assert url
    ask(url[0], "print one")
    assert "one" in errors.read_text()
    errors.rename(tmp_path / "e.1")
    access.rename(tmp_path / "a.1")
    tree.process.send_signal(signal.SIGUSR1)
    until(access.exists, "made again, the last of the two")
    until(lambda: access.read_text().count("reopened") == 2, "both were told")
    ask(url[0], "print two")
    assert "two" in errors.read_text()
    ask(url[0], "die")
    until(lambda: "unexpectedly" in errors.read_text(), "a line of the supervisor")
    assert ask(url[0])["slot"] in (0, 1)
    assert tree.stop() == 0
    assert tree.output == ""


def test_log_files_that_cannot_be_opened_again_stay(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    tree = serve("fake:serve", "--access-logfile", "logs/a.log")
    tree.url()
    (folder / "a.log").unlink()
    folder.rmdir()
    tree.process.send_signal(signal.SIGUSR1)
    tree.read_until("the log files stay as they are: .*a.log")
    assert tree.stop() == 0


# ---- the pid file


def test_the_pid_file_holds_the_pid_while_the_tree_runs(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "guaco.pid"
    path.write_text("999999999\n")  # of one that does not run
    tree = serve("fake:serve", "--pid-file", "guaco.pid")
    tree.url()
    assert path.read_text() == f"{tree.pid}\n"
    second = serve("fake:serve", "--pid-file", "guaco.pid")
    assert second.wait() != 0
    assert f"process {tree.pid} runs" in second.output
    assert path.read_text() == f"{tree.pid}\n"
    assert tree.stop() == 0
    assert not path.exists()


# ---- the workers' environment


def environment(pid: int) -> dict[str, str]:
    text = pathlib.Path(f"/proc/{pid}/environ").read_text()
    return dict(item.split("=", 1) for item in text.split("\0") if item)


def test_variables_come_from_env_and_a_file(
    serve: Start, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_SET", "before")
    monkeypatch.setenv("BOTH", "before")
    file = tmp_path / "vars"
    file.write_text("# a comment\nA=1\nexport B='x # y'\nIS_SET=file\nBOTH=file\n")
    tree = serve("fake:serve", "--env-file", "vars", "-e", "C=2", "-e", "BOTH=flag")
    url = tree.url()
    seen = environment(ask(url)["pid"])
    assert {name: seen.get(name) for name in ("A", "B", "C", "IS_SET", "BOTH")} == {
        "A": "1", "B": "x # y", "C": "2", "IS_SET": "before", "BOTH": "flag",
    }
    file.write_text("A=2\n")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("reloaded")
    assert environment(ask(url)["pid"])["A"] == "2"
    file.write_text("A=2\n'\n")
    tree.process.send_signal(signal.SIGHUP)
    tree.read_until("vars: line 2: not NAME=VALUE")
    tree.read_until("reload stopped")
    assert tree.stop() == 0


def test_chdir_and_umask(serve: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "app").mkdir()
    tree = serve("fake:serve", "--chdir", "app", "--umask", "027", "--name", "shop")
    me = ask(tree.url())
    assert pathlib.Path(f"/proc/{me['pid']}/cwd").readlink() == tmp_path / "app"
    status = pathlib.Path(f"/proc/{me['pid']}/status").read_text()
    assert re.search(r"^Umask:\s+0027$", status, re.M)
    assert me["argv"] == ["-m", "guaco._worker", "web", "0", "shop"]
    assert tree.stop() == 0


# ---- another user


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_tree_becomes_another_user_once_it_listens(
    start: Start, tmp_path: pathlib.Path
) -> None:
    system = pathlib.Path("/usr/bin/python3")
    if not system.exists():
        pytest.skip("no interpreter that everybody may run")
    nobody = pwd.getpwnam("nobody")
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o755)
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in tmp_path.parents):
        pytest.skip(f"others may not enter {tmp_path}: TMPDIR names a private folder")
    source = pathlib.Path(__file__).with_name("fake_worker.py").read_text()
    (tmp_path / "fake_worker.py").write_text(source)
    script = tmp_path / "fake-python"
    script.write_text(f'#!/bin/sh\nexec {system} {tmp_path}/fake_worker.py "$@"\n')
    script.chmod(0o755)
    with manager(tmp_path / "notify") as read:
        tree = start(
            *("guaco", "serve", "fake:serve", "--python", script),
            *("--user", "nobody", "--uds", "s"),
            *("--error-logfile", "e.log", "--pid-file", "p"),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "PYTHONPATH": ""},
        )
        (tmp_path / "notify").chmod(0o777)
        assert read()["READY"] == "1"
    log = tmp_path / "e.log"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(tmp_path / "s"))
        s.sendall(b"who")
        me = json.loads(s.makefile().readline())
    for pid in (tree.pid, me["pid"]):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        ids = re.search(r"^Uid:\t(.*)$", status, re.M)
        assert ids and set(ids[1].split("\t")) == {str(nobody.pw_uid)}
        groups = re.search(r"^Groups:\t(.*)$", status, re.M)
        assert groups and groups[1].split() in ([], [str(nobody.pw_gid)])
    for name in ("s", "e.log", "p"):
        assert (tmp_path / name).stat().st_uid == nobody.pw_uid
    log.rename(tmp_path / "e.1")
    tree.process.send_signal(signal.SIGUSR1)
    until(log.exists, "it may open its log again")
    assert tree.stop() == 0
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--user", "no-such-user"], "no user no-such-user"),
        (["--group", "no-such-group"], "no group no-such-group"),
        (["--umask", "9"], "'9' is not an octal mask"),
        (["--env", "A"], "--env: 'A' is not NAME=VALUE"),
        (["--env-file", "missing"], "missing"),
        (["--chdir", "missing"], "--chdir missing"),
    ],
)
def test_what_cannot_be_is_said(serve: Start, options: list[str], text: str) -> None:
    program = serve("fake:serve", *options)
    assert program.wait() == 2
    assert text in program.output


# ---- the service manager


@contextlib.contextmanager
def manager(path: pathlib.Path) -> Iterator[Callable[[], dict[str, str]]]:
    """A service manager's socket; the call reads its next message."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(DEADLINE_S)

        def read() -> dict[str, str]:
            lines = s.recv(4096).decode().splitlines()
            return dict(line.split("=", 1) for line in lines)

        yield read


def test_the_service_manager_is_told(
    start: Start, python: str, tmp_path: pathlib.Path
) -> None:
    with manager(tmp_path / "notify") as read:
        tree = start(
            *("guaco", "serve", "fake:serve", "--python", python),
            *("--bind", "127.0.0.1:0"),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        assert read()["READY"] == "1"
        assert "NOTIFY_SOCKET" not in environment(ask(tree.url())["pid"])
        tree.process.send_signal(signal.SIGHUP)
        told = read()
        assert told["RELOADING"] == "1"
        assert int(told["MONOTONIC_USEC"]) > 0
        assert read()["READY"] == "1"
        tree.process.send_signal(signal.SIGTERM)
        assert read()["STOPPING"] == "1"
        assert tree.wait() == 0


def test_the_watchdog_is_fed_when_it_asks(
    start: Start, python: str, tmp_path: pathlib.Path
) -> None:
    with manager(tmp_path / "notify") as read:
        tree = start(
            *("guaco", "serve", "fake:serve", "--python", python),
            *("--bind", "127.0.0.1:0"),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "40000"},
        )
        seen = [read() for _ in range(4)]
        assert sum("WATCHDOG" in told for told in seen) >= 3
        assert tree.stop() == 0


# ---- orphans

PR_SET_CHILD_SUBREAPER = 36


def test_orphans_that_become_its_children_are_reaped(
    start: Start, python: str, tmp_path: pathlib.Path
) -> None:
    # As PID 1 of a container: a grandchild whose parent has ended is ours.
    worker = pathlib.Path(python)
    worker.write_text(
        worker.read_text().replace("exec", "(sleep 0 & sleep 0 &)\nexec", 1)
    )
    reaper = tmp_path / "reaper.py"
    reaper.write_text(
        "import ctypes, os, sys\n"
        f"ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    exe = os.environ["GUACO_EXE"]
    tree = start(
        *("python", reaper, exe, "serve", "fake:serve", "--python", python),
        *("--bind", "127.0.0.1:0", "-w", "2"),
    )
    url = tree.url()
    assert ask(url, "die") == {}
    assert ask(url)["slot"] in (0, 1)
    tree.read_until("ended unexpectedly: signal 9")

    def zombies() -> list[str]:
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if fields[1] == str(tree.pid) and fields[0] == "Z":
                    found.append(stat.parent.name)
        return found

    until(lambda: not zombies(), "all orphans are taken")
    until(lambda: len(children(tree, "guaco._worker")) == 2, "and no worker is")
    assert tree.stop() == 0
