"""Commands as tasks, and `guaco cron`."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import pytest

import guaco
from conftest import Program
from deadline import DEADLINE_S, wait_gone

APP = """
import guaco

queue = guaco.Queue("sqlite:///cron.db")

@queue.periodic_task(guaco.crontab(minute="30", hour="2"), zone="Europe/Berlin")
def nightly():
    print("nightly ran", flush=True)

queue.command("backup", ["echo", "saved"], when="every 10 s")
"""


@pytest.fixture
def queue(tmp_path: pathlib.Path) -> Iterator[guaco.Queue]:
    queue = guaco.Queue(f"sqlite:///{tmp_path}/commands.db")
    yield queue
    queue.stop()
    queue.close()


# ---- commands


def test_a_command_gives_its_output_and_its_environment(
    queue: guaco.Queue, tmp_path: pathlib.Path
) -> None:
    shell = queue.command(
        "where", "pwd; echo $COLOUR; echo wrong >&2", cwd=tmp_path, env={"COLOUR": "red"}
    )
    words = queue.command("words", ["printf", "%s|", "a b", "$HOME"])
    assert shell.name == "command.where"
    queue.start(workers=1)
    result = shell()(blocking=True, timeout=DEADLINE_S)
    assert result["output"] == f"{tmp_path}\nred\nwrong\n"
    assert words()(blocking=True, timeout=DEADLINE_S) == {
        "output": "a b|$HOME|", "bytes": 10
    }  # fmt: skip


def test_a_large_output_is_cut_to_its_end_and_counted(queue: guaco.Queue) -> None:
    much = queue.command("much", "seq 1 100000; echo the end", output_bytes_max=100)
    queue.start(workers=1)
    result = much()(blocking=True, timeout=DEADLINE_S)
    assert result["bytes"] == 588895 + 8
    assert len(result["output"]) == 100
    assert result["output"].endswith("100000\nthe end\n")


def test_another_exit_code_fails_the_task_with_the_output(queue: guaco.Queue) -> None:
    failing = queue.command("failing", "echo why; exit 3")
    killed = queue.command("killed", "kill -9 $$")
    missing = queue.command("missing", ["/nonexistent/program"])
    queue.start(workers=1)
    for task, text in (
        (failing, "exit code 3"),
        (killed, "signal 9"),
        (missing, "FileNotFoundError"),
    ):
        with pytest.raises(guaco.TaskException, match=text):
            task()(blocking=True, timeout=DEADLINE_S)
    with pytest.raises(guaco.CommandError) as caught:
        failing.call_local()
    assert (caught.value.code, caught.value.output) == (3, "why\n")


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_a_timeout_takes_the_command_and_its_children(
    queue: guaco.Queue, tmp_path: pathlib.Path, kind: str
) -> None:
    pids = tmp_path / "pids"
    slow = queue.command(
        "slow", f"sleep 1000 & echo $! $$ > {pids}; wait", timeout=2
    )
    queue.start(workers=1, kind=kind)  # type: ignore[arg-type]
    with pytest.raises(guaco.TaskException, match="TaskTimeout"):
        slow()(blocking=True, timeout=DEADLINE_S)
    for pid in pids.read_text().split():
        wait_gone(int(pid))


@pytest.mark.parametrize("command", [[], [1], ["a", None], None])
def test_what_is_no_command_is_refused(queue: guaco.Queue, command: object) -> None:
    with pytest.raises(TypeError):
        queue.command("bad", command)  # type: ignore[arg-type]


def test_a_command_comes_by_the_clock(queue: guaco.Queue, tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    queue.command("tick", f"echo tick > {pipe}", when="every 200 ms")
    queue.start(workers=1)
    for _ in range(2):
        assert pipe.read_text() == "tick\n"  # waits for the one who writes
    assert queue.schedules()[0]["name"] == "command.tick"


# ---- guaco cron


@pytest.fixture
def cron(
    start: Callable[..., Program], tmp_path: pathlib.Path
) -> Callable[..., Program]:
    """cron(action, words...): the command, ended."""
    (tmp_path / "cron_app.py").write_text(APP)

    def run(action: str, *words: str) -> Program:
        program = start("guaco", "cron", action, "cron_app:queue", *words)
        program.code = program.wait()  # type: ignore[attr-defined]
        return program

    return run


def test_ls_and_next_before_and_after_a_worker(
    cron: Callable[..., Program], start: Callable[..., Program]
) -> None:
    listed = cron("ls").output
    assert "no worker has defined it yet" in listed
    worker = start("guaco", "work", "cron_app:queue", "-w", "1")
    worker.read_until("workers ready")
    listed = cron("ls").output
    assert "cron_app.nightly" in listed
    assert "30 2 * * *  Europe/Berlin" in listed
    assert "command.backup" in listed
    assert "not yet" not in listed and "no worker" not in listed

    coming = cron("next", "cron_app.nightly", "3").output.splitlines()
    times = [line for line in coming if line.endswith("cron_app.nightly")]
    assert len(times) == 3
    assert all(" 02:30:00+0" in line or " 03:00:00+02:00" in line for line in times)
    assert cron("next", "5").output.count("command.backup") == 5
    assert worker.stop() == 0


def test_run_pause_and_resume(
    cron: Callable[..., Program], start: Callable[..., Program]
) -> None:
    worker = start("guaco", "work", "cron_app:queue", "-w", "1")
    worker.read_until("workers ready")
    assert "enqueued" in cron("run", "cron_app.nightly").output
    worker.read_until("nightly ran")
    assert "paused" in cron("pause", "command.backup").output
    assert "paused" in cron("ls").output
    assert cron("next", "command.backup").output.strip().splitlines()[1:] == []
    assert "fires again" in cron("resume", "command.backup").output
    assert "paused" not in cron("ls").output
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0


@pytest.mark.parametrize(
    "words, text",
    [
        (["dance"], "none of ls, next, run, pause, resume"),
        (["run"], "takes the name"),
        (["run", "nobody"], "no schedule 'nobody'"),
        (["pause", "nobody"], "no schedule 'nobody'"),
        (["next", "0"], "from 1 to"),
        (["next", "a", "b", "3"], "takes a name"),
    ],
)
def test_what_cannot_be_done_says_why(
    cron: Callable[..., Program], words: list[str], text: str
) -> None:
    program = cron(*words)
    assert text in program.output
    assert program.code == 2  # type: ignore[attr-defined]
