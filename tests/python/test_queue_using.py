"""queue.using(connection): tasks in a transaction of the application's."""

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import types

import pytest

from guaco import MemoryQueue, Queue, SqliteQueue, chord, crontab, current_task, group
from guaco._core import Error
from guaco.queue import QueueError

RAN: list = []


@pytest.fixture
def queue(tmp_path):
    queue = SqliteQueue("shop", tmp_path / "shop.db", result_ttl=600)
    RAN.clear()

    @queue.task(name="add")
    def add(a, b):
        RAN.append((a, b))
        return a + b

    queue.add = add
    queue.stats()  # it makes its tables
    yield queue
    queue.close()


def connect(queue, **settings):
    db = sqlite3.connect(queue.url.removeprefix("sqlite:///"), **settings)
    db.execute("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY)")
    return db


def orders(queue):
    db = connect(queue)
    count = db.execute("SELECT count(*) FROM orders").fetchone()[0]
    db.close()
    return count


# ---- enqueuing ----


def test_it_is_enqueued_with_the_commit_and_not_before(queue):
    db = connect(queue)
    db.execute("INSERT INTO orders DEFAULT VALUES")
    result = queue.using(db).enqueue(queue.add.s(1, 2))
    assert result.id > 0
    assert queue.pending_count() == 0
    db.commit()
    assert queue.pending_count() == 1
    with queue:
        assert result(blocking=True, timeout=20) == 3


def test_with_a_rollback_it_never_was(queue):
    db = connect(queue)
    with pytest.raises(RuntimeError), db:
        db.execute("INSERT INTO orders DEFAULT VALUES")
        queue.using(db).enqueue(queue.add.s(1, 2))
        raise RuntimeError
    assert queue.pending_count() == 0
    assert orders(queue) == 0
    assert queue.add(3, 4).id > 0
    assert queue.pending_count() == 1


def test_a_worker_that_waits_is_woken_by_the_commit(queue):
    db = connect(queue)
    with queue:
        assert queue.add(0, 0)(blocking=True, timeout=20) == 0
        for i in range(20):
            with db:
                result = queue.using(db).enqueue(queue.add.s(i, 1))
            assert result(blocking=True, timeout=20) == i + 1


def test_calls_in_a_block_go_through_the_connection(queue):
    db = connect(queue)
    with db, queue.using(db):
        queue.add(1, 2)
        queue.add.schedule((3, 4), delay=3600)
        queue.add.map([(5, 6), (7, 8)])
        assert queue.pending_count() == 0
    assert queue.pending_count() == 3
    assert queue.scheduled_count() == 1
    queue.add(9, 9)
    assert queue.pending_count() == 4


def test_pipelines_groups_and_chords_are_one_with_it(queue):
    @queue.task(name="total")
    def total(values):
        return sum(values)

    db = connect(queue)
    with db:
        using = queue.using(db)
        pipe = using.enqueue(queue.add.s(1, 2).then(queue.add, 10))
        both = using.enqueue(group([queue.add.s(1, 1), queue.add.s(2, 2)]))
        one = using.enqueue(
            chord([queue.add.s(3, 3), queue.add.s(4, 4)], total)
        )
    with queue:
        assert pipe.get(blocking=True, timeout=20) == [3, 13]
        assert both.get(blocking=True, timeout=20) == [2, 4]
        assert one.get(blocking=True, timeout=20) == 14


def test_a_chord_that_is_rolled_back_leaves_nothing(queue):
    @queue.task(name="total")
    def total(values):
        return sum(values)

    db = connect(queue)
    queue.using(db).enqueue(chord([queue.add.s(3, 3)], total))
    db.rollback()
    counts = queue.stats()
    assert counts["waiting"] == counts["held"] == 0
    assert queue.enqueue(chord([queue.add.s(3, 3)], total)) is not None


def test_unique_keys_hold_in_it_and_between(queue):
    @queue.task(name="once", unique=True)
    def once(n):
        return n

    db = connect(queue)
    with db:
        first = queue.using(db).enqueue(once.s(1))
        again = queue.using(db).enqueue(once.s(1))
        assert again.id == first.id and again.existed
    assert once(1).id == first.id
    queue.using(db).enqueue(once.s(2))
    db.rollback()
    assert not once(2).existed


def test_no_id_is_given_twice_whoever_rolls_back(queue):
    seen = set()
    for i in range(60):
        db = connect(queue)
        for _ in range(3):
            task = queue.using(db).enqueue(queue.add.s(i, 0))
            if i % 3:
                assert task.id not in seen
                seen.add(task.id)
        db.commit() if i % 3 else db.rollback()
        db.close()
        task = queue.add(i, 1)
        assert task.id not in seen
        seen.add(task.id)
    assert queue.pending_count() == len(seen)


def test_where_the_connection_commits_by_itself_each_call_is_committed(queue):
    db = connect(queue, isolation_level=None)
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert not db.in_transaction
    assert queue.pending_count() == 1
    db.execute("BEGIN")
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 1
    db.execute("ROLLBACK")
    assert queue.pending_count() == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="not in this Python")
def test_the_autocommit_of_newer_pythons_is_known(queue):
    path = queue.url.removeprefix("sqlite:///")
    connect(queue).close()
    db = sqlite3.connect(path, autocommit=True)
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 1
    db.close()
    db = sqlite3.connect(path, autocommit=False)
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 1
    db.commit()
    assert queue.pending_count() == 2


def test_a_savepoint_takes_it_back(queue):
    db = connect(queue, isolation_level=None)
    db.execute("BEGIN")
    queue.using(db).enqueue(queue.add.s(1, 2))
    db.execute("SAVEPOINT inner_one")
    queue.using(db).enqueue(queue.add.s(3, 4))
    db.execute("ROLLBACK TO inner_one")
    db.execute("COMMIT")
    assert [row["args"] for row in queue.list()] == [[1, 2]]


def test_the_rowid_of_the_application_is_left_alone(queue):
    db = connect(queue)
    db.execute("INSERT INTO orders(id) VALUES(77)")
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert db.execute("SELECT last_insert_rowid()").fetchone() == (77,)
    db.commit()


def test_two_queues_in_one_transaction(queue, tmp_path):
    other = SqliteQueue("other", tmp_path / "shop.db")

    @other.task(name="more")
    def more():
        return 1

    db = connect(queue)
    with db, queue.using(db), other.using(db):
        queue.add(1, 2)
        more()
    assert queue.pending_count() == other.pending_count() == 1
    queue.using(db).enqueue(queue.add.s(1, 2))
    other.using(db).enqueue(more.s())
    db.rollback()
    assert queue.pending_count() == other.pending_count() == 1
    other.close()
    with db:
        queue.using(db).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 2


def test_a_closed_connection_has_rolled_back(queue):
    db = connect(queue)
    queue.using(db).enqueue(queue.add.s(1, 2))
    db.close()
    assert queue.pending_count() == 0
    queue.add(1, 2)  # nothing is held
    assert queue.pending_count() == 1


def test_a_forgotten_connection_has_rolled_back(queue):
    db = connect(queue)
    queue.using(db).enqueue(queue.add.s(1, 2))
    del db
    gc.collect()
    queue.add(1, 2)
    assert queue.pending_count() == 1


def test_the_queue_may_be_closed_before_the_transaction_ends(queue):
    db = connect(queue)
    queue.using(db).enqueue(queue.add.s(1, 2))
    queue.close()
    db.commit()
    assert queue.pending_count() == 1


def test_another_way_to_write_from_this_thread_is_refused_at_once(queue):
    db = connect(queue)
    queue.using(db).enqueue(queue.add.s(1, 2))
    with pytest.raises(Error, match="transaction open"):
        queue.add(3, 4)
    assert queue.pending_count() == 0  # reading is no matter
    db.commit()
    queue.add(3, 4)
    assert queue.pending_count() == 2


def test_other_threads_wait_for_the_end_of_the_transaction(queue):
    db = connect(queue)
    queue.using(db).enqueue(queue.add.s(1, 2))
    begun = threading.Event()

    def put():
        begun.set()
        queue.add(3, 4)

    thread = threading.Thread(target=put)
    thread.start()
    begun.wait()
    db.commit()
    thread.join()
    assert queue.pending_count() == 2


def test_many_threads_and_processes_write_both_ways(queue, tmp_path):
    path = str(tmp_path / "shop.db")
    connect(queue).close()
    failures = []

    def through(n):
        try:
            db = sqlite3.connect(path, timeout=60)
            for i in range(n):
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO orders DEFAULT VALUES")
                queue.using(db).enqueue(queue.add.s(i, 0))
                db.rollback() if i % 4 == 3 else db.commit()
            db.close()
        except BaseException as exc:
            failures.append(exc)

    def plain(n):
        try:
            for i in range(n):
                queue.add(i, 1)
        except BaseException as exc:
            failures.append(exc)

    threads = [
        threading.Thread(target=target, args=(40,))
        for target in (through, plain, through, plain)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert queue.pending_count() == 2 * 30 + 2 * 40
    assert orders(queue) == 60
    rows = queue.list(limit=1000)
    assert len({row["id"] for row in rows}) == 140
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_task_with_a_connection_of_another_thread_is_refused(queue):
    db = connect(queue)
    failures = []

    def put():
        try:
            queue.using(db).enqueue(queue.add.s(1, 2))
        except sqlite3.ProgrammingError as exc:
            failures.append(str(exc))

    thread = threading.Thread(target=put)
    thread.start()
    thread.join()
    assert len(failures) == 1 and "thread" in failures[0]


def test_a_commit_on_another_thread_wakes_too(queue):
    db = connect(queue, check_same_thread=False)
    result = queue.using(db).enqueue(queue.add.s(1, 2))
    thread = threading.Thread(target=db.commit)
    thread.start()
    thread.join()
    queue.add(1, 1)  # this thread holds nothing any more
    with queue:
        assert result(blocking=True, timeout=20) == 3


def test_a_coroutine_enqueues_in_it_too(queue):
    async def main():
        db = connect(queue)
        with db, queue.using(db):
            await queue.add.aenqueue(1, 2)
            await queue.aenqueue_many([queue.add.s(3, 4)])
            assert queue.pending_count() == 0
        db.close()

    asyncio.run(main())
    assert queue.pending_count() == 2


def test_the_block_is_of_its_own_asyncio_task_alone(queue):
    async def main():
        db = connect(queue)
        with queue.using(db):

            async def other():
                return queue.add(1, 2)

            # One that was made in the block is in it.
            await asyncio.create_task(other())
        assert queue.pending_count() == 0
        db.rollback()

    asyncio.run(main())
    assert queue.pending_count() == 0


def test_subclasses_are_gone_through(queue, tmp_path):
    seen = []

    class Logging(SqliteQueue):
        def enqueue(self, task):
            seen.append(task)
            return super().enqueue(task)

    logging = Logging("logging", tmp_path / "shop.db")

    @logging.task(name="t")
    def t():
        return None

    db = connect(queue)
    with db:
        logging.using(db).enqueue(t.s())
        logging.using(db).enqueue_many([t.s(), t.s()])
    assert len(seen) == 3 and logging.pending_count() == 3
    logging.close()


def test_immediate_mode_runs_at_once(queue):
    queue.immediate = True
    db = connect(queue)
    assert queue.using(db).enqueue(queue.add.s(1, 2)).get() == 3
    assert not db.in_transaction
    queue.immediate = False


# ---- what is refused ----


def test_another_file_is_refused(queue, tmp_path):
    db = sqlite3.connect(tmp_path / "elsewhere.db")
    with pytest.raises(ValueError, match=r"attached one.*elsewhere\.db"):
        queue.using(db).enqueue(queue.add.s(1, 2))
    assert not db.in_transaction
    db.execute("ATTACH ? AS q", (str(tmp_path / "shop.db"),))
    with pytest.raises(ValueError, match="attached"):
        queue.using(db).enqueue(queue.add.s(1, 2))


def test_a_database_in_memory_is_refused(queue):
    with pytest.raises(ValueError, match="in memory"):
        queue.using(sqlite3.connect(":memory:")).enqueue(queue.add.s(1, 2))


def test_a_read_only_connection_is_refused(queue):
    connect(queue).close()
    path = queue.url.removeprefix("sqlite:///")
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(ValueError, match="read-only"):
        queue.using(db).enqueue(queue.add.s(1, 2))


@pytest.mark.parametrize("thing", [None, 1, "shop.db", object()])
def test_what_is_no_connection_is_refused(queue, thing):
    with pytest.raises(TypeError, match="sqlite3.Connection"):
        queue.using(thing)


def test_a_closed_connection_is_refused(queue):
    db = connect(queue)
    db.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        queue.using(db).enqueue(queue.add.s(1, 2))


def test_an_aiosqlite_connection_is_refused_with_the_reason(queue):
    fake = types.new_class("Connection")
    fake.__module__ = "aiosqlite.core"
    with pytest.raises(TypeError, match="thread of its own"):
        queue.using(fake())


def test_other_stores_say_that_they_cannot(queue):
    memory = MemoryQueue("m")

    @memory.task(name="t")
    def t():
        return None

    with pytest.raises(Exception, match="cannot take part"):
        memory.using(connect(queue)).enqueue(t.s())
    memory.close()


def test_a_transaction_that_began_by_reading_and_is_stale_says_so(queue):
    db = connect(queue, isolation_level=None)
    queue.add(1, 2)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM orders").fetchone()
    queue.add(1, 2)
    with pytest.raises(Error, match="BEGIN IMMEDIATE"):
        queue.using(db).enqueue(queue.add.s(1, 2))
    db.execute("ROLLBACK")
    queue.using(db).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 3


def test_a_queue_that_is_new_on_the_file_says_that_it_must_come_first(tmp_path):
    path = tmp_path / "new.db"
    queue = Queue(f"sqlite:///{path}?busy_timeout_ms=50")
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t(a)")
    db.execute("INSERT INTO t VALUES(1)")
    with pytest.raises(QueueError, match="before your transaction begins"):
        queue.using(db)
    db.commit()
    queue.using(db)
    queue.close()


def test_a_queue_that_is_not_new_is_opened_within_a_transaction(queue):
    db = connect(queue)
    db.execute("INSERT INTO orders DEFAULT VALUES")
    queue.close()
    queue.using(db).enqueue(queue.add.s(1, 2))
    db.commit()
    assert queue.pending_count() == 1


def test_a_refused_enqueue_leaves_the_transaction_as_it_was(queue):
    db = connect(queue)
    db.execute("INSERT INTO orders DEFAULT VALUES")
    with pytest.raises(TypeError):
        queue.using(db).enqueue(queue.add.s(object(), 2))
    task = queue.add.s(1, 2)
    task.reserved = 1 << 40
    with pytest.raises(ValueError, match="nothing was changed"):
        queue.using(db).enqueue(task)
    db.commit()
    assert orders(queue) == 1
    assert queue.pending_count() == 0


def test_wrappers_of_a_connection_are_seen_through(queue):
    db = connect(queue)
    pooled = types.SimpleNamespace(driver_connection=db, dbapi_connection=db)
    django = types.SimpleNamespace(connection=None)
    django.ensure_connection = lambda: setattr(django, "connection", db)
    for wrapped in (pooled, types.SimpleNamespace(connection=pooled), django):
        with db:
            queue.using(wrapped).enqueue(queue.add.s(1, 2))
    assert queue.pending_count() == 3


def test_with_sqlalchemy(queue):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(queue.url)
    with engine.begin() as db:
        db.execute(sqlalchemy.text("CREATE TABLE t(a)"))
        queue.using(db).enqueue(queue.add.s(1, 2))
        assert queue.pending_count() == 0
    assert queue.pending_count() == 1
    with pytest.raises(RuntimeError), engine.begin() as db:
        queue.using(db).enqueue(queue.add.s(1, 2))
        raise RuntimeError
    assert queue.pending_count() == 1
    engine.dispose()


# ---- a task's own end ----


def run_one(queue):
    queue.start()
    queue.stop()


def test_a_tasks_writes_and_its_end_are_one(queue):
    @queue.task(name="pay")
    def pay(order):
        db = connect(queue)
        with db:
            db.execute("INSERT INTO orders(id) VALUES(?)", (order,))
            current_task().complete(db, order * 2)
        db.close()

    with queue:
        assert pay(5)(blocking=True, timeout=20) == 10
    assert orders(queue) == 1
    assert queue.stats()["running"] == 0


def test_what_follows_it_is_put_in_the_same_step(queue):
    @queue.task(name="pay")
    def pay(order):
        db = connect(queue)
        with db:
            current_task().complete(db, order)
        db.close()

    with queue:
        results = queue.enqueue(pay.s(5).then(queue.add, 1))
        assert results.get(blocking=True, timeout=20) == [5, 6]


def test_complete_without_a_commit_is_a_failure(queue):
    @queue.task(name="pay")
    def pay(order):
        db = connect(queue)
        current_task().complete(db, order)
        db.rollback()
        db.close()

    with queue:
        result = pay(5)
        with pytest.raises(Exception, match="not committed"):
            result(blocking=True, timeout=20)
    assert orders(queue) == 0


def test_a_rollback_leaves_the_retries(queue):
    tries = []

    @queue.task(name="pay", retries=1)
    def pay(order):
        tries.append(order)
        db = connect(queue)
        with db:
            db.execute("INSERT INTO orders DEFAULT VALUES")
            current_task().complete(db, order)
            if len(tries) == 1:
                raise ValueError("not yet")

    with queue:
        assert pay(5)(blocking=True, timeout=20) == 5
    assert len(tries) == 2
    assert orders(queue) == 1


def test_what_it_raises_after_the_commit_changes_nothing(queue, caplog):
    @queue.task(name="pay", retries=3)
    def pay(order):
        RAN.append(order)
        db = connect(queue)
        with db:
            current_task().complete(db, order)
        raise ValueError("too late")

    with queue:
        assert pay(5)(blocking=True, timeout=20) == 5
    assert RAN == [5]
    assert "complete() was committed" in caplog.text


def test_what_a_savepoint_took_back_is_run_again(queue):
    tries = []

    @queue.task(name="pay")
    def pay():
        tries.append(1)
        db = connect(queue, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        db.execute("SAVEPOINT s")
        current_task().complete(db, len(tries))
        if len(tries) == 1:
            db.execute("ROLLBACK TO s")
        db.execute("COMMIT")
        db.close()

    with queue:
        assert pay()(blocking=True, timeout=20) == 2


def test_another_attempt_fences_it(queue):
    """The task's row was given to another owner meanwhile."""
    seen = []

    @queue.task(name="pay")
    def pay():
        db = connect(queue)
        if len(seen) == 0:
            db.execute("UPDATE guaco_running SET attempt = attempt + 1")
            db.commit()
        try:
            with db:
                db.execute("INSERT INTO orders DEFAULT VALUES")
                current_task().complete(db, 1)
        except Error as exc:
            seen.append(str(exc))
            raise
        finally:
            db.close()

    queue.start()
    pay()
    while not seen:
        threading.Event().wait(0.01)
    queue.stop()
    assert "roll back" in seen[0]
    assert orders(queue) == 0


def test_it_is_said_once_and_by_the_one_that_runs(queue):
    said = []

    @queue.task(name="pay")
    def pay():
        db = connect(queue)
        with db:
            current_task().complete(db, 1)
            try:
                current_task().complete(db, 2)
            except Error as exc:
                said.append(str(exc))
        db.close()

    with queue:
        assert pay()(blocking=True, timeout=20) == 1
    assert "before" in said[0]
    with pytest.raises(QueueError, match="the task that runs"):
        pay.s().complete(connect(queue))


def test_without_a_transaction_it_is_refused(queue):
    @queue.task(name="pay")
    def pay():
        db = connect(queue, isolation_level=None)
        current_task().complete(db, 1)

    with queue, pytest.raises(Exception, match="BEGIN"):
        pay()(blocking=True, timeout=20)


def test_async_and_periodic_tasks_complete_too(queue):
    @queue.periodic_task(crontab(), name="tick")
    async def tick():
        db = connect(queue)
        with db:
            db.execute("INSERT INTO orders DEFAULT VALUES")
            current_task().complete(db, "ticked")
        db.close()

    queue.start(kind="async")
    assert tick()(blocking=True, timeout=20) == "ticked"
    queue.stop()
    assert orders(queue) >= 1


def test_complete_in_immediate_mode(queue):
    @queue.task(name="pay")
    def pay(order):
        current_task().complete(None, order * 2)

    queue.immediate = True
    assert pay(4).get() == 8
    queue.immediate = False


# ---- kill -9 ----

KILLED = """
import os, signal, sqlite3, sys
sys.path.insert(0, {folder!r})
import killed_app
db = sqlite3.connect({path!r})
db.execute("INSERT INTO orders DEFAULT VALUES")
killed_app.queue.using(db).enqueue(killed_app.t.s(1))
if {after}:
    db.commit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("after", [False, True])
def test_a_producer_that_is_killed_has_written_both_or_neither(
    queue, tmp_path, after
):
    path = str(tmp_path / "shop.db")
    (tmp_path / "killed_app.py").write_text(
        textwrap.dedent(
            f"""
            from guaco import SqliteQueue
            queue = SqliteQueue("shop", {path!r})
            @queue.task()
            def t(n):
                return n
            """
        )
    )
    connect(queue).close()
    for round in range(1, 6):
        script = KILLED.format(folder=str(tmp_path), path=path, after=after)
        ended = subprocess.run([sys.executable, "-c", script], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert orders(queue) == (round if after else 0)
        assert queue.pending_count() == (round if after else 0)


WORKER = """
import os, signal, sqlite3
from guaco import SqliteQueue, current_task
queue = SqliteQueue("shop", {path!r})
@queue.task()
def pay(after):
    db = sqlite3.connect({path!r})
    task = current_task()
    if task.attempt > 1:
        with db:
            task.complete(db, "again")
        return
    db.execute("INSERT INTO orders DEFAULT VALUES")
    task.complete(db, "first")
    if after:
        db.commit()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_is_killed_has_done_both_or_neither(tmp_path, after):
    path = str(tmp_path / "shop.db")
    (tmp_path / "pay_app.py").write_text(WORKER.format(path=path))
    queue = SqliteQueue("shop", path)
    connect(queue).close()
    sys.path.insert(0, str(tmp_path))
    try:
        import pay_app
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("pay_app", None)
    result = pay_app.queue.enqueue(pay_app.pay.s(after))
    code = "import pay_app; pay_app.queue.start(); import time; time.sleep(60)"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}"}
    ended = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert orders(queue) == int(after)
    pay_app.queue.start()
    expected = "first" if after else "again"
    assert result(blocking=True, timeout=20) == expected
    pay_app.queue.close()
    queue.close()
