"""The binary upgrade (SIGUSR2) and sockets that a service manager has activated; with
workers that only speak the supervisor's protocol."""

import os
import pathlib
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from conftest import Program
from deadline import DEADLINE_S
from test_operations import environment, manager
from test_supervisor import ask, connect, python, serve, until, wait_gone

__all__ = ["python", "serve"]  # fixtures

Start = Callable[..., Program]


def supervisor_of(url: str) -> int:
    pid: int = ask(url)["ppid"]
    return pid


def upgrade(tree: Program, pid: int) -> int:
    """Have the supervisor `pid` replaced; the pid of the new one."""
    seen = tree.output.count("upgraded: pid")
    os.kill(pid, signal.SIGUSR2)
    found = tree.read_until(rf"(?s)(?:upgraded: pid.*){{{seen}}}upgraded: pid (\d+) serves")
    return int(found[1])


def answers(url: str, pid: int) -> bool:
    """Only the supervisor `pid` serves, once the one before it drains."""
    until(lambda: supervisor_of(url) == pid, f"{pid} serves")
    return True


def test_a_new_supervisor_takes_the_sockets_and_no_request_fails(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    pid_file = tmp_path / "p"
    tree = serve("fake:serve", "-w", "2", "--pid-file", "p", "--uds", "s")
    url = tree.url()
    failures: list[object] = []
    answered = 0
    stop = threading.Event()

    def load() -> None:
        nonlocal answered
        while not stop.is_set():
            try:
                if ask(url):
                    answered += 1
                else:
                    failures.append("no answer")
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    pid = tree.pid
    try:
        for _ in range(3):
            after = upgrade(tree, pid)
            wait_gone(pid)
            until(lambda: pid_file.read_text() == f"{after}\n", "the pid file")
            assert not (tmp_path / "p.2").exists()
            pid = after
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert answered > 20
    assert answers(url, pid)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(tmp_path / "s"))  # handed over too, its file stays
    os.kill(pid, signal.SIGTERM)
    wait_gone(pid)
    assert not pid_file.exists()
    assert not (tmp_path / "s").exists()
    assert tree.wait() == 0
    assert "unexpectedly" not in tree.output


def test_an_open_request_is_finished_by_the_old_one(serve: Start) -> None:
    tree = serve("fake:serve")
    url = tree.url()
    with connect(url) as held:
        held.sendall(b"hold")
        held.makefile().readline()
        after = upgrade(tree, tree.pid)
        held.sendall(b"who")
        assert f'"ppid": {tree.pid}' in held.makefile().readline()
    assert answers(url, after)
    os.kill(after, signal.SIGTERM)
    assert tree.wait() == 0


def test_an_upgrade_that_fails_changes_nothing(
    serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("serve")
    tree = serve(f"fake:{mode}", "--pid-file", "p")
    url = tree.url()
    before = ask(url)
    mode.write_text("fail")
    tree.process.send_signal(signal.SIGUSR2)
    tree.read_until("no such app")
    tree.read_until(r"binary upgrade failed \(pid \d+: exit code 3\); this one goes on")
    assert ask(url)["pid"] == before["pid"]
    assert (tmp_path / "p").read_text() == f"{tree.pid}\n"
    assert not (tmp_path / "p.2").exists()
    mode.write_text("serve")
    after = upgrade(tree, tree.pid)
    assert answers(url, after)
    os.kill(after, signal.SIGTERM)
    assert tree.wait() == 0


def test_a_new_one_with_other_workers_serves_all_sockets(
    start: Start, python: str, tmp_path: pathlib.Path
) -> None:
    settings = tmp_path / "pyproject.toml"
    settings.write_text("[tool.guaco]\nworkers = 3\n")
    tree = start(
        *("guaco", "serve", "fake:serve", "--python", python),
        *("--bind", "127.0.0.1:0", "--reuse-port"),
    )
    url = tree.url()
    pid = tree.pid
    for count in (1, 4, 2):
        settings.write_text(f"[tool.guaco]\nworkers = {count}\n")
        after = upgrade(tree, pid)
        wait_gone(pid)
        pid = after
        seen = [ask(url) for _ in range(60)]
        assert all(seen)
        assert {one["slot"] for one in seen} == set(range(count))
    os.kill(pid, signal.SIGTERM)
    assert tree.wait() == 0


def test_the_service_manager_learns_who_is_the_service(
    start: Start, python: str, tmp_path: pathlib.Path
) -> None:
    with manager(tmp_path / "notify") as read:
        tree = start(
            *("guaco", "serve", "fake:serve", "--python", python),
            *("--bind", "127.0.0.1:0"),
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        assert read()["READY"] == "1"
        tree.url()
        after = upgrade(tree, tree.pid)
        assert read() == {"MAINPID": str(after)}
        assert read()["READY"] == "1"
        wait_gone(tree.pid)
        os.kill(after, signal.SIGTERM)
        assert read()["STOPPING"] == "1"
        assert tree.wait() == 0


def test_a_stop_during_an_upgrade_stops_both(
    start: Start, serve: Start, tmp_path: pathlib.Path
) -> None:
    mode = tmp_path / "mode"
    mode.write_text("serve")
    tree = serve(f"fake:{mode}")
    tree.url()
    mode.write_text("silent")
    tree.process.send_signal(signal.SIGUSR2)
    tree.read_until("upgrading: starting")
    tree.read_until(r"(?s)upgrading.*workers run")
    tree.process.send_signal(signal.SIGTERM)
    assert tree.wait() == 0  # its output ends: the other has gone too


# ---- socket activation

ACTIVATE = """
import os, sys
names, count, *words = sys.argv[1:]
os.environ["LISTEN_FDS"] = count
os.environ["LISTEN_FDNAMES"] = names
os.environ["LISTEN_PID"] = str(os.getpid())
for fd in range(3, 3 + int(count)):
    os.set_inheritable(fd, True)
os.execv(words[0], words)
"""


@pytest.fixture
def activated(start: Start, python: str, tmp_path: pathlib.Path) -> Start:
    """activated(names, *options): with a socket for each name, on ports that the
    program prints."""

    def run(names: str, *options: str) -> Program:
        count = len(names.split(":"))
        holder = tmp_path / "hold.py"
        holder.write_text(
            "import os, socket, sys\n"
            "made = [socket.create_server(('127.0.0.1', 0))"
            f" for _ in range({count})]\n"
            "text = ' '.join(str(s.getsockname()[1]) for s in made)\n"
            "print(f'ports {text}', flush=True)\n"
            "fds = [os.dup(s.fileno()) for s in made]\n"
            "high = [__import__('fcntl').fcntl(fd, 0, 100) for fd in fds]\n"
            "for i, fd in enumerate(high): os.dup2(fd, 3 + i)\n"
            "os.closerange(100, 200)\n" + ACTIVATE
        )
        exe = os.environ["GUACO_EXE"]
        return start(
            *("python", holder, names, str(count), exe, "serve", "fake:serve"),
            *("--python", python, *options),
        )

    return run


def ports(tree: Program) -> list[str]:
    return tree.read_until(r"^ports (.*)\n")[1].split()


def test_activated_sockets_are_served(activated: Start) -> None:
    tree = activated("web:api", "-w", "2")
    urls = [f"http://127.0.0.1:{port}" for port in ports(tree)]
    tree.read_until(r"(?s)(listening on.*){2}")
    me = ask(urls[0])
    assert ask(urls[1])["target"] == "fake:serve"
    assert not any(name.startswith("LISTEN_") for name in environment(me["pid"]))
    after = upgrade(tree, tree.pid)
    wait_gone(tree.pid)
    assert answers(urls[1], after)
    os.kill(after, signal.SIGTERM)
    assert tree.wait() == 0


def test_an_activated_socket_is_chosen_by_its_name(activated: Start) -> None:
    tree = activated("web:other", "--bind", "fd:web")
    first, second = ports(tree)
    assert ask(f"http://127.0.0.1:{first}")["slot"] == 0
    tree.read_until("inherited sockets that no address names were closed")
    with pytest.raises(ConnectionRefusedError):
        connect(f"http://127.0.0.1:{second}")
    assert tree.stop() == 0


def test_a_name_that_is_not_there_is_an_error(activated: Start) -> None:
    tree = activated("web", "--bind", "fd:shop")
    assert tree.wait() == 2
    assert "fd:shop is neither fd:N nor the name of a socket" in tree.output
