"""What an asyncio loop promises, on the standard library's loop and on ours."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from asyncio import base_events
from collections.abc import Callable
from typing import Any

import pytest
from deadline import DEADLINE_S

import guaco.loop
from loops import Factory, factory, loop, turns  # noqa: F401  (fixtures)

# ---- callbacks


def test_callbacks_run_in_order_and_a_batch_at_a_time(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[str] = []
    loop.call_soon(lambda: (seen.append("a"), loop.call_soon(seen.append, "c")))
    loop.call_soon(seen.append, "b")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["a", "b"]
    turns(loop)
    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_all_arguments_arrive(
    loop: asyncio.AbstractEventLoop, count: int
) -> None:
    seen: list[Any] = []
    handle = loop.call_soon(lambda *args: seen.extend(args), *range(count))
    assert handle._args == tuple(range(count))  # type: ignore[attr-defined]
    turns(loop)
    assert seen == list(range(count))


def test_a_stop_before_the_run_runs_what_is_ready(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.stop()
    loop.run_forever()
    assert seen == [1]


def test_a_cancelled_handle_does_not_run_and_forgets_its_callback(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Callback:
        def __call__(self, *args: object) -> None:
            raise AssertionError

    callback = Callback()
    ref = weakref.ref(callback)
    handle = loop.call_soon(callback, 1, 2)
    timer = loop.call_later(0, callback, 1)
    for each in (handle, timer):
        each.cancel()
        each.cancel()
        assert each.cancelled()
        assert "cancelled" in repr(each)
    del callback
    assert ref() is None
    turns(loop, 2)


def test_handles_are_what_asyncio_calls_handles(
    loop: asyncio.AbstractEventLoop,
) -> None:
    handle = loop.call_soon(print, "x")
    timer = loop.call_at(5, print)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.TimerHandle)
    assert timer.when() == 5
    assert "when=5" in repr(timer)
    assert "print" in repr(handle)
    assert weakref.ref(handle)() is handle
    assert loop.call_at(1, print) < timer
    assert timer >= loop.call_at(5, print)
    assert timer == loop.call_at(5, print)
    assert timer != loop.call_at(5, repr)
    assert hash(timer) == hash(5.0)
    for each in (handle, timer):
        each.cancel()


def test_a_context_is_copied_or_taken(loop: asyncio.AbstractEventLoop) -> None:
    var = contextvars.ContextVar("var", default=0)
    seen: list[int] = []
    context = contextvars.copy_context()
    context.run(var.set, 2)
    var.set(1)
    handle = loop.call_soon(lambda: seen.append(var.get()))
    loop.call_soon(lambda: seen.append(var.get()), context=context)
    loop.call_later(0, lambda: seen.append(var.get()), context=context)
    loop.call_soon(var.set, 5)
    if sys.version_info >= (3, 12):
        assert handle.get_context()[var] == 1
    var.set(9)
    turns(loop, 3)
    assert sorted(seen) == [1, 2, 2]
    assert seen[0] == 1
    assert var.get() == 9


def test_wrong_arguments_are_refused(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(TypeError):
        loop.call_soon()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_soon(print, colour=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop.call_at(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop.call_later("soon", print)  # type: ignore[arg-type]


# ---- time


def test_time_is_the_monotonic_clock(loop: asyncio.AbstractEventLoop) -> None:
    before = time.monotonic()
    assert before <= loop.time() <= time.monotonic()


def test_timers_fire_in_order_and_never_early(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[float] = []
    base = loop.time()

    def fire(delay: float) -> None:
        assert loop.time() >= base + delay
        seen.append(delay)

    delays = [0.012, 0.003, 0.0071, 0.0002, 0, -1, 0.0071]
    for delay in delays:
        loop.call_at(base + delay, fire, delay)
    loop.call_at(base + 0.02, loop.stop)
    loop.run_forever()
    assert seen == sorted(delays)


def test_a_timer_that_is_due_runs_in_the_next_turn(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def main() -> None:
        for _ in range(20):
            seen: list[int] = []
            loop.call_later(0, seen.append, 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen == [1]

    loop.run_until_complete(main())


def test_a_busy_loop_still_sees_sockets(
    loop: asyncio.AbstractEventLoop,
) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    seen: list[bytes] = []

    async def main() -> None:
        loop.add_reader(left, lambda: seen.append(left.recv(10)))
        right.send(b"x")
        for _ in range(20):
            await asyncio.sleep(0)
        assert seen == [b"x"]
        loop.remove_reader(left)

    loop.run_until_complete(main())
    left.close()
    right.close()


# ---- threads


def test_other_threads_wake_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[int] = []

    def call() -> None:
        for i in range(1000):
            loop.call_soon_threadsafe(seen.append, i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert seen == list(range(1000))


def test_cancelling_from_another_thread_waits_for_a_running_callback(
    loop: asyncio.AbstractEventLoop,
) -> None:
    if not isinstance(loop, guaco.loop.Loop) and sys.version_info < (3, 14):
        pytest.skip("asyncio does it from 3.14 on")
    begun, order = threading.Event(), []

    def callback() -> None:
        begun.set()
        time.sleep(0.05)
        order.append("callback")

    def cancel() -> None:
        handle = loop.call_soon_threadsafe(callback)
        begun.wait()
        handle.cancel()
        order.append("cancelled")
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=cancel)
    thread.start()
    loop.run_forever()
    thread.join()
    assert order == ["callback", "cancelled"]


def test_executor_results_come_back(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        calls = [loop.run_in_executor(None, pow, 2, i) for i in range(50)]
        assert await asyncio.gather(*calls) == [2**i for i in range(50)]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)

    loop.run_until_complete(main())


# ---- life


def test_the_root_task_is_marked_with_the_identical_callback(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """anyio finds its root task by this very function."""

    async def main() -> bool:
        task = asyncio.current_task()
        callbacks = task._callbacks  # type: ignore[union-attr]
        return any(
            callback is base_events._run_until_complete_cb
            for callback, _ in callbacks
        )

    assert loop.run_until_complete(main())


def test_a_closed_loop_refuses(loop: asyncio.AbstractEventLoop) -> None:
    loop.close()
    loop.close()
    assert loop.is_closed()
    coro = asyncio.sleep(0)
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.run_until_complete(coro),
        loop.run_forever,
    ):
        with pytest.raises(RuntimeError):
            call()
    coro.close()


def test_runs_do_not_nest(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        coro = asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            loop.run_until_complete(coro)
        other = asyncio.SelectorEventLoop()
        with pytest.raises(RuntimeError):
            other.run_until_complete(coro)
        other.close()
        coro.close()
        with pytest.raises(RuntimeError):
            loop.close()

    loop.run_until_complete(main())


def test_it_is_a_loop_to_everybody(loop: asyncio.AbstractEventLoop) -> None:
    assert isinstance(loop, asyncio.AbstractEventLoop)
    asyncio.set_event_loop(loop)
    asyncio.set_event_loop(None)
    assert loop in weakref.WeakKeyDictionary({loop: 1})
    assert loop._default_executor is None  # type: ignore[attr-defined]
    assert not loop._executor_shutdown_called  # type: ignore[attr-defined]
    assert "running=False" in repr(loop)


def test_asyncgens_are_closed(loop: asyncio.AbstractEventLoop) -> None:
    closed: list[str] = []

    async def numbers() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    hooks = sys.get_asyncgen_hooks()
    loop.run_until_complete(main())
    assert closed == ["closed"]
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert sys.get_asyncgen_hooks() == hooks


def test_interrupts_leave_the_run_and_the_loop_can_go_on(
    loop: asyncio.AbstractEventLoop,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    seen: list[int] = []
    loop.call_soon(interrupt)
    loop.call_soon(seen.append, 1)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert not loop.is_running()
    turns(loop)
    assert seen == [1]


# ---- errors and debugging


def test_a_failing_callback_is_reported(
    loop: asyncio.AbstractEventLoop,
) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    handle = loop.call_soon(lambda: 1 / 0)
    turns(loop)
    assert contexts[0]["handle"] is handle
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)
    assert contexts[0]["message"].startswith("Exception in callback")
    assert "source_traceback" not in contexts[0]


def test_debug_mode_tells_where_and_how_long(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    handle = loop.call_soon(lambda: (time.sleep(0.02), 1 / 0))
    assert "created at" in repr(handle)
    with caplog.at_level(logging.WARNING, "asyncio"):
        turns(loop)
    assert contexts[0]["source_traceback"][-1].name == (
        "test_debug_mode_tells_where_and_how_long"
    )
    assert caplog.records[0].msg == "Executing %s took %.3f seconds"
    with pytest.raises(TypeError, match="callable"):
        loop.call_soon("no")  # type: ignore[arg-type]
    coro = asyncio.sleep(0)
    with pytest.raises(TypeError, match="coroutines"):
        loop.call_soon(coro)  # type: ignore[arg-type]
    coro.close()


def test_debug_mode_refuses_other_threads(
    loop: asyncio.AbstractEventLoop,
) -> None:
    loop.set_debug(True)

    def call() -> None:
        with pytest.raises(RuntimeError, match="Non-thread-safe"):
            loop.call_soon(print)
        with pytest.raises(RuntimeError, match="Non-thread-safe"):
            loop.call_later(1, print)

    async def main() -> None:
        await loop.run_in_executor(None, call)

    loop.run_until_complete(main())


# ---- tasks


def test_a_task_factory_gets_all_that_was_given(
    loop: asyncio.AbstractEventLoop,
) -> None:
    made: list[dict[str, Any]] = []

    def make(loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        made.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def main() -> str:
        context = contextvars.copy_context()
        task = loop.create_task(asyncio.sleep(0), name="n", context=context)
        await task
        assert made[-1]["context"] is context
        return task.get_name()

    loop.set_task_factory(make)
    assert loop.get_task_factory() is make
    assert loop.run_until_complete(main()) == "n"
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None


def test_timeouts_and_groups(loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await asyncio.sleep(10)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.005)
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))
                group.create_task(asyncio.wait_for(asyncio.sleep(1), 0.001))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    loop.run_until_complete(main())


# ---- signals, children, fork


def test_a_signal_handler_runs_while_the_loop_waits(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def main() -> None:
        got = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, got.set_result, "usr1")
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert await asyncio.wait_for(got, 5) == "usr1"
        assert loop.remove_signal_handler(signal.SIGUSR1)
        assert not loop.remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())


def test_a_python_signal_handler_interrupts_the_wait(
    loop: asyncio.AbstractEventLoop,
) -> None:
    class Interrupted(Exception):
        pass

    def handler(*_: object) -> None:
        raise Interrupted

    old = signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    loop.call_later(5, loop.stop)
    with pytest.raises(Interrupted):
        loop.run_forever()
    signal.signal(signal.SIGUSR1, old)
    assert signal.set_wakeup_fd(-1) == -1


def test_children_are_waited_for_without_sigchld(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def main() -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; sys.exit(len(input()))",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        await child.communicate(b"four\n")
        assert child.returncode == 4
        killed = await asyncio.create_subprocess_shell("sleep 100")
        killed.kill()
        assert await killed.wait() == -signal.SIGKILL

    old = signal.getsignal(signal.SIGCHLD)
    loop.run_until_complete(main())
    assert signal.getsignal(signal.SIGCHLD) == old


FORK = """
import asyncio, os, sys, guaco.loop
loop = guaco.loop.new_event_loop()
async def main():
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            os._exit(2)
        try:
            loop.run_forever()
        except RuntimeError:
            pass
        else:
            os._exit(3)
        try:
            loop.close()
        except RuntimeError:
            os._exit(7)
        os._exit(4)
    _, status = await loop.run_in_executor(None, os.waitpid, pid, 0)
    await asyncio.sleep(0.01)
    reader, writer = os.pipe()
    got = loop.create_future()
    loop.add_reader(reader, got.set_result, 1)
    os.write(writer, b"x")
    await got
    return os.waitstatus_to_exitcode(status)
sys.exit(loop.run_until_complete(main()))
"""


def test_a_forked_child_refuses_to_run_and_the_parent_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 7


# ---- descriptors


def test_readers_and_writers_replace_and_remove(
    loop: asyncio.AbstractEventLoop,
) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    seen: list[str] = []
    loop.add_reader(left, seen.append, "old")
    loop.add_reader(left.fileno(), seen.append, "r")
    loop.add_writer(left, seen.append, "w")
    right.send(b"x")
    turns(loop, 2)
    assert set(seen) == {"r", "w"}
    assert loop.remove_writer(left)
    assert not loop.remove_writer(left)
    seen.clear()
    turns(loop, 2)
    assert set(seen) == {"r"}
    assert loop.remove_reader(left)
    assert not loop.remove_reader(left)
    left.close()
    with pytest.raises((ValueError, OSError)):
        loop.add_reader(left, print)
    with pytest.raises((ValueError, TypeError)):
        loop.add_reader("file", print)  # type: ignore[arg-type]
    right.close()


def test_a_regular_file_cannot_be_watched(
    loop: asyncio.AbstractEventLoop,
) -> None:
    with open(__file__) as file, pytest.raises(PermissionError):
        loop.add_reader(file, print)


def test_a_reused_descriptor_is_watched_anew(
    loop: asyncio.AbstractEventLoop,
) -> None:
    seen: list[int] = []
    for i in range(5):
        left, right = socket.socketpair()
        left.setblocking(False)
        right.send(b"x")
        loop.add_reader(left, seen.append, i)
        turns(loop, 2)
        loop.remove_reader(left)
        left.close()
        right.close()
    assert set(seen) == set(range(5))


def test_a_descriptor_closed_under_the_loop_does_no_harm(
    loop: asyncio.AbstractEventLoop,
) -> None:
    left, right = socket.socketpair()
    loop.add_reader(left, print)
    left.close()
    turns(loop, 2)
    right.close()


# ---- leaks


def test_nothing_is_left_behind_without_the_collector(
    factory: Factory,
) -> None:
    class Thing:
        def __call__(self, *args: object) -> None:
            pass

    def use() -> list[weakref.ref[Thing]]:
        loop = factory()
        things = [Thing() for _ in range(6)]
        refs = [weakref.ref(thing) for thing in things]
        loop.call_soon(things[0])
        loop.call_later(0, things[1], 1, 2, 3, 4, 5)
        loop.call_later(100, things[2]).cancel()
        loop.call_soon_threadsafe(things[3])
        turns(loop, 3)
        loop.call_soon(things[4])
        loop.call_later(100, things[5])
        loop.close()
        return refs

    gc.collect()
    gc.disable()
    try:
        assert [ref() for ref in use()] == [None] * 6
    finally:
        gc.enable()


def test_a_loop_forgotten_in_a_cycle_is_collected() -> None:
    loop = guaco.loop.new_event_loop()
    ref = weakref.ref(loop)
    left, right = socket.socketpair()
    loop._add_reader(left, loop.stop)
    loop.call_later(100, loop.stop)
    loop.call_soon(loop.stop, loop)
    del loop
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert ref() is None
    left.close()
    right.close()
