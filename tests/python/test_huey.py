"""guaco.compat.huey: Huey's API, its stored form, and what is better."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Program
from deadline import WAIT
from guaco.compat import huey as compat
from guaco.compat.huey import (
    MemoryHuey,
    RetryTask,
    SqliteHuey,
    chord,
    crontab,
    group,
)
from guaco.compat.huey import signals as S
from guaco.compat.huey.api import Result, TaskWrapper
from guaco.compat.huey.exceptions import (
    CancelExecution,
    ConfigurationError,
    TaskException,
)
from guaco.compat.huey.registry import Message
from guaco.compat.huey.serializer import Serializer, SignedSerializer
from guaco.compat.huey.storage import MemoryStorage, SqliteStorage
from guaco.compat.huey.utils import SKIPPED, Error

HERE = pathlib.Path(__file__).parent
Start = Callable[..., Program]


@pytest.fixture
def huey() -> MemoryHuey:
    return MemoryHuey("test")


def run_all(huey: Any) -> list[Any]:
    """Run what is enqueued, and what that enqueues."""
    values = []
    while (task := huey.dequeue()) is not None:
        values.append(huey.execute(task))
    return values


# ---- the stored form ----


def by_huey(code: str, *args: str) -> str:
    """Run code with the original Huey, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_message_of_ours_is_one_of_hueys() -> None:
    callback = Message(id="c", name="m.agg", args=(), kwargs={})
    message = Message(
        id="1",
        name="m.add",
        eta=dt.datetime(2030, 1, 1),
        retries=2,
        args=(1, ["x"], None, {"k": b"v"}),
        kwargs={"a": SKIPPED, "b": Error({"error": "e"})},
        on_complete=Message(id="2", name="m.add", args=(), kwargs={}),
        chord_config=("cid", 2, 0, callback),
    )
    body = Serializer().serialize(message)
    told = by_huey(
        "import sys, pickle\n"
        "m = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "import huey.registry, huey.utils\n"
        "assert type(m) is huey.registry.Message\n"
        "assert type(m.on_complete) is huey.registry.Message\n"
        "assert type(m.chord_config[3]) is huey.registry.Message\n"
        "assert m.kwargs['a'] is huey.utils.SKIPPED, m\n"
        "assert type(m.kwargs['b']) is huey.utils.Error\n"
        "print(pickle.dumps(m).hex())",
        body.hex(),
    )
    again = Serializer().deserialize(bytes.fromhex(told))
    assert again == message
    assert type(again) is Message
    assert type(again.on_complete) is Message
    assert again.kwargs["a"] is SKIPPED


def test_a_message_of_an_older_huey_has_none_for_what_it_lacks() -> None:
    old = by_huey(
        "import pickle, huey.registry as r\n"
        "m = r.Message('1', 'n', None, 0, 0, None, (), {}, None, None)\n"
        "print(pickle.dumps(tuple(m)[:10]).hex())"
    )
    fields = pickle.loads(bytes.fromhex(old))
    assert Message(*fields).retry_backoff is None


def test_a_pickle_without_a_signature_is_not_opened() -> None:
    signed, plain = SignedSerializer("secret"), Serializer()
    assert signed.deserialize(signed.serialize([1])) == [1]
    with pytest.raises(ValueError):
        signed.deserialize(plain.serialize([1]))
    with pytest.raises(ValueError):
        SignedSerializer("other").deserialize(signed.serialize([1]))
    with pytest.raises(ConfigurationError):
        SignedSerializer("")


def environment(tmp_path: pathlib.Path, store: str, where: str) -> dict[str, str]:
    path = f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {
        "PYTHONPATH": path,
        "HUEY_STORE": store,
        "HUEY_FILE": str(tmp_path / "app.db"),
        "HUEY_REDIS": where,
    }


ENQUEUE = """
import huey_app as app
from huey import chord
for i in range(20):
    app.add(i, 1)
later = app.add.schedule((1, 2), delay=0.2)
failed = app.fail()
both = app.huey.enqueue(chord([app.add.s(1, 1), app.add.s(2, 2)], app.total))
print(later.id, failed.id, both.callback.id)
"""
READ = """
import sys
import huey_app as app
from huey.exceptions import TaskException
later, failed, both = sys.argv[1:]
assert app.huey.result(later, blocking=True, timeout=60) == 3
assert app.huey.result(both, blocking=True, timeout=60) == 6
try:
    app.huey.result(failed, blocking=True, timeout=60)
except TaskException as exc:
    assert "ValueError" in exc.metadata["error"], exc
else:
    raise AssertionError("no TaskException")
assert app.huey.pending_count() == 0, app.huey.pending()
print(app.whose())
"""
CONSUMER = ("huey_app.huey", "-w", "2", "-m", "0.1", "-n")


def check_both_ways(start: Start, env: dict[str, str]) -> None:
    """Huey enqueues, our consumer runs, Huey reads; and the reverse."""

    def run(words: tuple[str, ...]) -> str:
        program = start("python", *words, env=env)
        assert program.wait() == 0, program.output
        return program.output.strip().splitlines()[-1]

    ours = ("-m", "guaco.compat", "huey", "-m", "snippet")
    folder = pathlib.Path(env["HUEY_FILE"]).parent
    env = env | {"PYTHONPATH": f"{folder}{os.pathsep}{env['PYTHONPATH']}"}

    ids = run(("-c", ENQUEUE)).split()
    consumer = start(
        "python", "-m", "guaco.compat", "huey_consumer", *CONSUMER, env=env
    )
    assert run(("-c", READ, *ids)) == "huey.api"
    assert consumer.stop() == 0, consumer.output

    (folder / "snippet.py").write_text(ENQUEUE)
    ids = run(ours).split()
    consumer = start(
        "python", "-c", "from huey.bin.huey_consumer import consumer_main\n"
        "consumer_main()", *CONSUMER, env=env,
    )
    (folder / "snippet.py").write_text(READ)
    assert run((*ours, *ids)).startswith("guaco.compat.huey")
    consumer.stop()


def test_a_queue_in_sqlite_is_worked_off_both_ways(
    start: Start, tmp_path: pathlib.Path
) -> None:
    check_both_ways(start, environment(tmp_path, "sqlite", ""))


@pytest.fixture
def redis_url(tmp_path: pathlib.Path) -> Iterator[str]:
    """A Redis of our own, on a socket."""
    pytest.importorskip("redis", reason="redis-py is not installed")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(path), "--save", "",
         "--appendonly", "no"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if b"ready to accept connections" in line.lower():
            break
    yield f"unix://{path}"
    process.kill()
    process.communicate()


@pytest.mark.parametrize("store", ["RedisHuey", "PriorityRedisExpireHuey"])
def test_a_queue_in_redis_is_worked_off_both_ways(
    start: Start, tmp_path: pathlib.Path, redis_url: str, store: str
) -> None:
    check_both_ways(start, environment(tmp_path, store, redis_url))


# ---- at least once ----


def check_kills(start: Start, env: dict[str, str], tmp_path: pathlib.Path) -> None:
    """A task survives the consumer that ran it, unless it kills each."""
    env = env | {"MARK": str(tmp_path / "mark"), "POISON": str(tmp_path / "x")}
    code = (
        "import os, huey_app as app\n"
        "print(app.die(os.environ['MARK']).id, "
        "app.poison(os.environ['POISON']).id)"
    )
    (tmp_path / "snippet.py").write_text(code)
    words = ("python", "-m", "guaco.compat", "huey", str(tmp_path / "snippet.py"))
    program = start(*words, env=env)
    assert program.wait() == 0, program.output
    died, poisoned = program.output.split()[-2:]
    command = ("python", "-m", "guaco.compat", "huey_consumer", *CONSUMER[:1],
               "-m", "0.05")
    for _ in range(4):  # one by the first task, three by the second
        assert start(*command, env=env).wait() == -9
    consumer = start(*command, env=env)
    consumer.read_until("is put aside")
    (tmp_path / "snippet.py").write_text(
        "import sys, huey_app as app\n"
        "print(app.huey.result(sys.argv[1], blocking=True, timeout=60))\n"
        "from huey.exceptions import TaskException\n"
        "try:\n"
        "    app.huey.result(sys.argv[2])\n"
        "except TaskException as exc:\n"
        "    print(exc)\n"
    )
    reader = start(*words, died, poisoned, env=env)
    assert reader.wait() == 0, reader.output
    assert "alive" in reader.output
    assert "died 3 times" in reader.output
    assert (tmp_path / "x").read_text() == "xxx"
    assert consumer.stop() == 0, consumer.output


def test_a_task_in_sqlite_survives_its_consumer(
    start: Start, tmp_path: pathlib.Path
) -> None:
    check_kills(start, environment(tmp_path, "sqlite", ""), tmp_path)


@pytest.mark.parametrize("store", ["RedisHuey", "PriorityRedisHuey"])
def test_a_task_in_redis_survives_its_consumer(
    start: Start, tmp_path: pathlib.Path, redis_url: str, store: str
) -> None:
    check_kills(start, environment(tmp_path, store, redis_url), tmp_path)


def test_a_claim_ends_with_its_run(tmp_path: pathlib.Path) -> None:
    storage = SqliteStorage("q", str(tmp_path / "q.db"))
    for data, priority in ((b"low", 0), (b"high", 5), (b"last", 0)):
        storage.enqueue(data, priority)
    first, second = storage.claim(), storage.claim()
    assert first is not None and second is not None
    assert (first.data, second.data) == (b"high", b"low")
    assert storage.queue_size() == 1
    storage.settle(first)
    storage.give_back(second)
    assert storage.enqueued_items() == [b"low", b"last"]
    storage.give_back(second)  # it is not ours any more
    assert storage.enqueued_items() == [b"low", b"last"]
    assert storage.reap() == (0, [])
    storage.close()
    with sqlite3.connect(tmp_path / "q.db") as db:
        assert db.execute("select count(*) from guaco_claim").fetchone() == (0,)


def test_an_owner_that_is_no_more_gives_back(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "q.db")
    storage = SqliteStorage("q", path)
    storage.enqueue(b"task")
    storage.close()
    pid = os.fork()
    if pid == 0:
        storage.claim()
        os._exit(0)
    os.waitpid(pid, 0)
    assert storage.queue_size() == 0
    assert storage.reap() == (1, [])
    assert storage.dequeue() == b"task"
    assert storage.reap() == (0, [])


def test_a_due_task_moves_in_one_step(tmp_path: pathlib.Path) -> None:
    storage = SqliteStorage("q", str(tmp_path / "q.db"))
    storage.add_to_schedule(b"old", dt.datetime(2020, 1, 1))
    storage.add_to_schedule(b"new", dt.datetime(2100, 1, 1))
    [(key, data)] = storage.due_items(dt.datetime(2021, 1, 1))
    assert data == b"old"
    assert storage.promote(key, b"old+", 3)
    assert not storage.promote(key, b"old+", 3)
    assert storage.enqueued_items() == [b"old+"]
    assert storage.scheduled_items() == [b"new"]


def test_a_task_that_nobody_knows_is_put_aside(tmp_path: pathlib.Path) -> None:
    huey = SqliteHuey("x", filename=str(tmp_path / "x.db"))

    @huey.task()
    def gone() -> None:
        pass

    @huey.task()
    def here() -> int:
        return 1

    gone()
    gone.unregister()
    result = here()
    consumer = huey.create_consumer(initial_delay=0.001, max_delay=0.001)
    consumer.start()
    assert result(*WAIT) == 1
    consumer.stop(graceful=True)
    huey.storage.close()
    with sqlite3.connect(tmp_path / "x.db") as db:
        assert db.execute("select count(*) from guaco_dead").fetchone() == (1,)
        assert db.execute("select count(*) from guaco_claim").fetchone() == (0,)


# ---- what users override ----


class Counting(MemoryStorage):
    """A storage of a user's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[str] = []

    def enqueue(self, data: bytes, priority: float | None = None) -> Any:
        self.calls.append("enqueue")
        return super().enqueue(data, priority)

    def dequeue(self) -> bytes | None:
        data = super().dequeue()
        if data is not None:
            self.calls.append("dequeue")
        return data

    def put_data(self, key: Any, value: bytes, is_result: bool = False) -> Any:
        self.calls.append("put_data")
        return super().put_data(key, value, is_result)


def test_a_consumer_goes_through_an_overridden_storage() -> None:
    huey = compat.Huey("x", storage_class=Counting)

    @huey.task()
    def add(a: int, b: int) -> int:
        return a + b

    result = add(1, 2)
    consumer = huey.create_consumer(initial_delay=0.001, max_delay=0.001)
    consumer.start()
    assert result(*WAIT) == 3
    consumer.stop(graceful=True)
    assert huey.storage.calls == ["enqueue", "dequeue", "put_data"]


def test_a_sqlite_storage_whose_dequeue_is_overridden_is_asked(
    tmp_path: pathlib.Path,
) -> None:
    class Own(SqliteStorage):
        seen = 0

        def dequeue(self) -> bytes | None:
            data = super().dequeue()
            type(self).seen += data is not None
            return data

    huey = compat.Huey("x", storage_class=Own, filename=str(tmp_path / "x.db"))

    @huey.task()
    def one() -> int:
        return 1

    result = one()
    assert not huey.storage.can_claim()
    assert SqliteStorage("y", str(tmp_path / "x.db")).can_claim()
    consumer = huey.create_consumer(initial_delay=0.001, max_delay=0.001)
    consumer.start()
    assert result(*WAIT) == 1
    consumer.stop(graceful=True)
    assert Own.seen == 1
    huey.storage.close()


def test_a_mixin_sees_each_enqueue_and_calls_super() -> None:
    class Logging:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.seen: list[str] = []

        def enqueue(self, task: Any) -> Any:
            if hasattr(task, "id"):
                self.seen.append(task.name)
            return super().enqueue(task)  # type: ignore[misc]

    class LoggingHuey(Logging, MemoryHuey):
        pass

    huey = LoggingHuey("x")

    @huey.task(retries=1)
    def flaky(state: list[int] = []) -> int:  # noqa: B006
        state.append(1)
        if len(state) == 1:
            raise ValueError
        return len(state)

    huey.enqueue(flaky.s())
    run_all(huey)
    assert huey.seen == ["flaky", "flaky"]  # the retry too


def test_wrappers_and_results_of_a_users_own(huey: MemoryHuey) -> None:
    class Loud(TaskWrapper):
        def s(self, *args: Any, **kwargs: Any) -> Any:
            return super().s(*(str(a).upper() for a in args), **kwargs)

    class LoudHuey(MemoryHuey):
        def get_task_wrapper_class(self) -> Any:
            return Loud

        def _result_handle(self, task: Any) -> Result:
            return super()._result_handle(task)

    loud = LoudHuey("l")

    @loud.task()
    def echo(x: str) -> str:
        return x

    result = echo("a")
    run_all(loud)
    assert result() == "A"


# ---- semantics ----


def signals_of(huey: Any) -> list[str]:
    seen: list[str] = []
    huey.signal()(lambda signal, task, *a: seen.append(signal))
    return seen


def test_signals_of_a_retry_come_in_order(huey: MemoryHuey) -> None:
    seen = signals_of(huey)

    @huey.task(retries=1)
    def fail() -> None:
        raise ValueError("no")

    result = fail()
    run_all(huey)
    once = [S.SIGNAL_ENQUEUED, S.SIGNAL_EXECUTING, S.SIGNAL_ERROR]
    assert seen == [*once, S.SIGNAL_RETRYING, *once]
    with pytest.raises(TaskException) as caught:
        result()
    assert caught.value.metadata["retries"] == 0
    assert "ValueError: no" in caught.value.metadata["traceback"]


def test_a_chord_tells_of_members_that_failed_or_were_not_run(
    huey: MemoryHuey,
) -> None:
    @huey.task()
    def half(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n // 2

    @huey.task()
    def collect(values: list[Any]) -> list[Any]:
        return values

    members = [half.s(4), half.s(1), half.s(8)]
    result = huey.enqueue(chord(members, collect))
    huey.revoke(members[2])
    run_all(huey)
    four, one, eight = result()
    assert four == 2
    assert isinstance(one, Error)
    assert eight is SKIPPED


def test_a_member_that_runs_twice_counts_once(huey: MemoryHuey) -> None:
    @huey.task()
    def double(n: int) -> int:
        return 2 * n

    @huey.task()
    def collect(values: list[int]) -> int:
        return sum(values)

    result = huey.enqueue(group([double.s(1), double.s(2)]).then(collect))
    first = huey.storage.dequeue()
    huey.execute(huey.deserialize_task(first))
    huey.execute(huey.deserialize_task(first))
    assert result() is None
    run_all(huey)
    assert result() == 6


def test_a_rate_limit_and_a_lock_put_a_task_off(huey: MemoryHuey) -> None:
    seen = signals_of(huey)
    limit = huey.rate_limit("k", 1, per=3600)

    @huey.task(retries=1)
    @limit
    def limited() -> int:
        return 1

    limited(), limited()
    run_all(huey)
    assert seen.count(S.SIGNAL_COMPLETE) == 1
    assert seen[-3:] == [S.SIGNAL_RATE_LIMITED, S.SIGNAL_RETRYING,
                         S.SIGNAL_SCHEDULED]
    [waiting] = huey.scheduled()
    assert waiting.retries == 1  # none was used up
    assert limit.current_usage() == 2
    with huey.lock_task("l"):
        assert huey.is_locked("l")
        assert huey.flush_locks() == {"l"}
    assert not huey.is_locked("l")


def test_retry_and_cancel_steer_the_retries(huey: MemoryHuey) -> None:
    runs: list[str] = []

    @huey.task()
    def again() -> None:
        runs.append("again")
        if runs.count("again") < 3:
            raise RetryTask("later")

    @huey.task(retries=5)
    def never() -> None:
        runs.append("never")
        raise CancelExecution(retry=False)

    again(), never()
    run_all(huey)
    assert (runs.count("again"), runs.count("never")) == (3, 1)


def test_immediate_mode_runs_in_the_caller(huey: MemoryHuey) -> None:
    huey.immediate = True

    @huey.task()
    def add(a: int, b: int) -> int:
        return a + b

    assert huey.enqueue(add.s(1, 2).then(add, 5))() == [3, 8]
    assert add.schedule((1, 2), delay=60)() is None
    with pytest.raises(ConfigurationError):
        huey.create_consumer().start()


def test_crontab_reads_what_huey_reads() -> None:
    every = crontab(minute="*/20", hour="22-2", day_of_week="1-7")
    assert every(dt.datetime(2026, 11, 27, 23, 40))
    assert not every(dt.datetime(2026, 11, 27, 3, 40))
    for bad in ({"minute": "60"}, {"day_of_week": "*/2"}, {"minute": "*/0"},
                {"minute": "x"}, {"hour": "1-2x"}):
        with pytest.raises(ValueError):
            crontab(**bad)


# ---- the consumer ----


def test_an_interrupted_task_goes_back(tmp_path: pathlib.Path) -> None:
    huey = SqliteHuey("x", filename=str(tmp_path / "x.db"))
    began, end = threading.Event(), threading.Event()

    @huey.task()
    def hang() -> None:
        began.set()
        end.wait(10)

    hang()
    consumer = huey.create_consumer(initial_delay=0.001, max_delay=0.001)
    consumer.start()
    assert began.wait(5)
    assert huey.pending_count() == 0
    consumer.stop()
    assert huey.pending_count() == 1
    end.set()
    huey.storage.close()


def test_the_scheduler_enqueues_what_is_due(tmp_path: pathlib.Path) -> None:
    huey = SqliteHuey("x", filename=str(tmp_path / "x.db"))
    seen = signals_of(huey)

    @huey.task(expires=dt.timedelta(days=1))
    def one() -> int:
        return 1

    @huey.periodic_task(crontab())
    def tick() -> None:
        pass

    result = one.schedule(delay=-5)
    huey.execute(huey.dequeue())  # due: run at once
    assert result() == 1
    later = one.schedule(delay=3600)
    huey.execute(huey.dequeue())
    assert huey.scheduled_count() == 1
    scheduler = huey.create_consumer()._create_scheduler()
    scheduler.sleep_for_interval = lambda *_: None  # type: ignore[method-assign]
    when = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
    scheduler._next_loop = time.monotonic() + 60
    del seen[:]
    scheduler.loop(when + dt.timedelta(hours=2))
    assert [t.name for t in huey.pending()] == ["one", "tick"]
    assert seen == [S.SIGNAL_ENQUEUED] * 2
    huey.execute(huey.dequeue(), when + dt.timedelta(hours=2))
    assert later() == 1
    huey.storage.close()


def test_a_script_runs_unchanged(start: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "import huey, huey.contrib.asyncio\n"
        "from huey.api import Huey\n"
        "from huey.consumer import Consumer\n"
        "from huey.contrib.helpers import RedisSemaphore\n"
        "print(Huey.__module__, huey.Huey is Huey, sys.argv[1:], __name__)\n"
    )
    program = start("python", "-m", "guaco.compat", "huey",
                    str(tmp_path / "script.py"), "a", "-b")
    assert program.wait() == 0, program.output
    assert program.output.split(maxsplit=1) == [
        "guaco.compat.huey._huey", "True ['a', '-b'] __main__\n"
    ]


def test_the_consumer_without_a_queue_says_so(start: Start) -> None:
    program = start("python", "-m", "guaco.compat", "huey_consumer")
    assert program.wait() == 1
    assert "missing import path" in program.output
