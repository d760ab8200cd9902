"""The extension module.  Private: its public names are re-exported by guaco.*."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Self, TypeAlias, TypeVar, TypeVarTuple, final

from typing_extensions import Buffer, disjoint_base

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

__version__: str

class Error(Exception):
    """Base of all exceptions that the C code raises and that no builtin fits."""

class PayloadError(Error, ValueError):
    """The bytes of a task or a result are not what its serializer wrote."""

@final
class Codec:
    """Python values to CBOR bytes and back, typed and safe.

    A reducer turns a value of exactly its type into (name, argument, ...);
    ``builders[name](argument, ...)`` makes it again.  ``bytes_max`` >= 1 caps
    what is written and read.
    """

    def __new__(
        cls,
        reducers: dict[type, Callable[[Any], tuple[Any, ...]]],
        builders: dict[str, Callable[..., Any]],
        bytes_max: int,
        /,
    ) -> Self: ...
    def encode(self, value: object, /) -> bytes:
        """TypeError for an unknown type; ValueError: too large, too deep (64
        levels), or a lone surrogate in a str."""

    def decode(self, data: Buffer, /) -> Any:
        """PayloadError when data is not one whole payload."""

@final
class Seal:
    """Signs or encrypts payloads, and opens them.

    keys are (id, secret); the first one seals, each opens.  The context, at
    most 1024 bytes, must be the same both times; it is not stored.
    """

    def __new__(
        cls, keys: tuple[tuple[bytes, bytes], ...], encrypt: bool, /
    ) -> Self: ...
    def close(self, data: bytes, context: bytes, /) -> bytes:
        """data, sealed."""

    def open(self, data: bytes, context: bytes, /) -> bytes:
        """What was sealed; PayloadError if we did not seal it so."""

_ResultRow: TypeAlias = tuple[int, int, int, bytes, str]
"""state, attempt, finished_ms, body, reason."""
_News: TypeAlias = tuple[list[tuple[int, bytes]], _ResultRow | None]
"""Events as (number, body), and the result if there is one."""

@final
class Mailbox:
    """Messages of native threads, read by Python.

    A letter is (kind, tag, error, payload): tag the number that was given
    with the request, error None or an exception, payload by the kind.
    """

    def fileno(self) -> int:
        """Readable while letters are there."""

    def take(
        self, timeout_ms: int = 0, /
    ) -> list[tuple[int, int, Exception | None, Any]]:
        """All letters, after waiting for the first at most timeout_ms (-1: no
        limit); a signal handler that raises ends the wait."""

    def ring(self) -> None:
        """Put a letter in that wakes who waits in take()."""

@final
class Watch:
    """A watch of one task; made by Broker.watch()."""

    def close(self) -> None:
        """End it; idempotent."""

@final
class Broker:
    """Where tasks and results wait: an open store.

    Calls block without the GIL, at most the store's own timeout.  A call in
    another process than the one that opened it is an Error.
    """

    def __new__(cls, url: str, /) -> Self: ...
    def put(
        self,
        queue: str,
        name: str,
        headers: bytes,
        body: bytes,
        due_ms: int,
        expires_ms: int,
        priority: int,
        retries: int,
        retry_delay_ms: int,
        retry_backoff_percent: int,
        timeout_ms: int,
        result_ttl_s: int,
        retry_delay_max_ms: int,
        retry_jitter_percent: int,
        rules: tuple[Any, ...] | None,
        /,
    ) -> int:
        """Store one task; its id, once the store has committed, or minus the
        id of the one that holds its unique key."""

    def put_many(
        self,
        tasks: list[tuple[Any, ...]],
        connection: sqlite3.Connection | None = None,
        commits: bool = False,
        /,
    ) -> list[int]:
        """Store 1 to 10000 tasks (put's arguments), all or none; perhaps in a
        connection's transaction."""

    def put_async(self, /, *task_mailbox_tag: Any) -> None:
        """put's arguments, a Mailbox and a tag: the store's thread does it."""

    def read(self, id: int, after: int = 0, take: bool = False, /) -> _News:
        """What is known of a task, events after number `after`."""

    def watch(
        self, id: int, after: int, mailbox: Mailbox, tag: int, /
    ) -> Watch:
        """Send the task's news to mailbox until its result came."""

    def now_ms(self) -> int:
        """The store's clock, Unix time in ms."""

    def warning(self) -> str | None:
        """What is wrong with how the store is set up, or None."""

    def stats(self, queue: str, /) -> dict[str, int]: ...
    def list(
        self, queue: str, state: int, offset: int, limit: int, /
    ) -> list[dict[str, Any]]: ...
    def purge(self, queue: str, state: int, /) -> int: ...
    def replay(self, queue: str, id: int, /) -> int: ...
    def recurring(
        self, queue: str, generation: int, all: tuple[tuple[Any, ...], ...], /
    ) -> bool:
        """Define the queue's recurring tasks as (name, spec, zone, catch_up,
        task); False: the store has a newer generation."""

    def before_fork(self) -> None:
        """In the parent, before a fork: other threads' calls wait from now."""

    def after_fork(self) -> None:
        """In the parent, after it."""

    def close(self) -> None:
        """Close the store when the calls in it have ended; idempotent."""

@final
class Run:
    """One run of a task; dropped unfinished it goes back uncounted."""

    @property
    def id(self) -> int: ...
    @property
    def attempt(self) -> int:
        """From 1."""

    @property
    def failures(self) -> int: ...
    @property
    def retries_left(self) -> int: ...
    @property
    def due_ms(self) -> int: ...
    @property
    def expires_ms(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def timeout_ms(self) -> int: ...
    @property
    def queue(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def headers(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def interrupted(self) -> bool: ...
    @property
    def why(self) -> int:
        """Why it was interrupted, a GUACO_E_*; 0: it was not."""

    @property
    def members(self) -> int:
        """How many tasks joined it."""

    def remaining_ms(self) -> int | None:
        """To its timeout; None without one."""

    @property
    def completion(self) -> int:
        """What became of complete(): a guaco_using_state."""

    def event(self, body: bytes, /) -> None: ...
    def complete(
        self,
        connection: sqlite3.Connection,
        commits: bool,
        body: bytes | None,
        follow: tuple[tuple[Any, ...], ...] | None,
        /,
    ) -> None:
        """Write that it is done in a connection's transaction."""

    def finish(
        self,
        kind: int,
        body: bytes | None = None,
        retry_delay_ms: int = -1,
        follow: tuple[tuple[Any, ...], ...] | None = None,
        pass_on: bool = False,
        /,
    ) -> bool:
        """End it with a guaco_outcome_kind, and put what follows in the same
        step; True: the task will run again."""

@final
class Worker:
    """Takes tasks of one queue and has them run.

    With exit_when_stuck a run that ignores its timeout for the grace time
    ends the process, from a native thread.
    """

    def __new__(
        cls,
        broker: Broker,
        queue: str,
        slots: int,
        mailbox: Mailbox,
        lease_ms: int,
        kill_grace_ms: int,
        exit_when_stuck: bool,
        wants_ready: bool,
        prefetch: int,
        /,
    ) -> Self: ...
    def next(self, timeout_ms: int, /) -> Run | None:
        """The next run; None: none came in time (-1: no limit), or draining."""

    def next_batch(self, timeout_ms: int, most: int, /) -> list[Run]:
        """Up to `most` runs of one name, those claimed together."""

    def drain(self) -> None: ...
    def join(self, timeout_ms: int, /) -> bool: ...
    def stats(self) -> dict[str, int]: ...
    def close(self) -> None: ...

@final
class Keeper:
    """Looks after a store from a thread: due tasks, dead owners, schedules."""

    def __new__(cls, broker: Broker, box: Mailbox, /) -> Self: ...
    def close(self) -> None: ...

def task_cancel(broker: Broker, id: int, reason: str, /) -> int:
    """The guaco_task_state in which it was found; 0: it has ended."""

def task_members(broker: Broker, id: int, /) -> list[tuple[int, int, bytes]]:
    """(id, state, body) of those that joined it."""

def using_addresses(on: bool, /) -> None: ...
def using_learn(
    type: type[sqlite3.Connection],
    connection: sqlite3.Connection,
    address: int,
    /,
) -> bool: ...
def ids_reserve(
    broker: Broker,
    n: int,
    connection: sqlite3.Connection | None = None,
    commits: bool = False,
    /,
) -> int:
    """The first of n ids that are ours."""

def queue_pause(broker: Broker, queue: str, pause: bool, /) -> None: ...
def name_revoke(
    broker: Broker, queue: str, key: str, until_ms: int, once: bool, /
) -> None: ...
def name_restore(broker: Broker, queue: str, key: str, /) -> bool: ...
def name_revoked(
    broker: Broker, queue: str, key: str, take: bool, /
) -> bool: ...
def recurring_put(
    broker: Broker, entry: tuple[Any, ...], is_paused: bool, /
) -> None: ...
def recurring_remove(broker: Broker, queue: str, name: str, /) -> bool: ...
def recurring_pause(
    broker: Broker, queue: str, name: str, pause: bool, /
) -> bool: ...
def recurring_list(broker: Broker, queue: str, /) -> list[dict[str, Any]]: ...
def key_put(
    broker: Broker, key: str, value: bytes, ttl_ms: int, if_empty: bool, /
) -> bool:
    """Whether the key had a value."""

def key_get(
    broker: Broker, key: str, take: bool, timeout_ms: int, /
) -> bytes | None: ...
def key_drop(broker: Broker, key: str, /) -> bool: ...
def key_add(broker: Broker, key: str, amount: int, ttl_ms: int, /) -> int: ...
def lock_take(
    broker: Broker, name: str, slots: int, lease_ms: int, timeout_ms: int, /
) -> int:
    """A token, or 0: it was not free in time."""

def lock_renew(
    broker: Broker, name: str, slots: int, lease_ms: int, token: int, /
) -> bool: ...
def lock_free(
    broker: Broker, name: str, slots: int, lease_ms: int, token: int, /
) -> bool: ...
def lock_holders(broker: Broker, name: str, clear: bool, /) -> int: ...
def crontab_spec(
    minute: str,
    hour: str,
    day: str,
    month: str,
    day_of_week: str,
    strict: bool,
    /,
) -> str:
    """The spec of Huey's crontab() fields."""

def schedule_next(spec: str, zone: str, after_ms: int, /) -> int | None:
    """The first fire time after after_ms, Unix time in ms."""

def interrupt_thread(
    running: list[int | None],
    key: int,
    thread_id: int,
    exception: type[BaseException],
    /,
) -> bool:
    """Raise exception in a thread if running[0] is key, as one step."""

@disjoint_base
class Handle:
    """A callback that the loop will run; made by call_soon()."""

    def cancel(self) -> None: ...
    def cancelled(self) -> bool: ...
    def get_context(self) -> Context: ...

@final
class TimerHandle(Handle):
    """A callback that runs at its time; made by call_later()."""

    def when(self) -> float:
        """When it is due: seconds of loop.time()."""

@final
class StreamIO:
    """What a stream transport does for each packet."""

    direct: bool

    def __new__(cls, transport: object, fd: int, /) -> Self: ...
    def read(self) -> None: ...
    def write(self, data: Buffer, /) -> None: ...
    def set_protocol(
        self, protocol: asyncio.BaseProtocol, is_buffered: bool, /
    ) -> None: ...
    def release(self) -> None: ...

@disjoint_base
class LoopCore:
    """The C half of guaco.loop.Loop; see asyncio.AbstractEventLoop."""

    _debug: bool
    _thread_id: int | None

    def _check_closed(self) -> None:
        """RuntimeError when closed."""

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def create_task(
        self, coro: Coroutine[Any, Any, _T], **kwargs: Any
    ) -> asyncio.Task[_T]: ...
    def create_future(self) -> asyncio.Future[Any]: ...
    def time(self) -> float: ...
    def stop(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def _run(self) -> None:
        """Turn after turn, until stop(); raises what ends a run."""

    def _release(self) -> None:
        """Drop what is scheduled; RuntimeError while running or pinned."""

    def _check_closable(self) -> None:
        """RuntimeError while running or pinned."""

    def _abandon(self) -> None:
        """In a forked child: let go of what the parent shares."""

    def _fd_events(self, file: int, /) -> int:
        """1: a reader, 2: a writer, or both, is set for the descriptor."""

    def _spawn(self, coro: Coroutine[Any, Any, Any], /) -> asyncio.Task[Any]:
        """A Task whose first step has run; for tests of the C function."""
class ClientDisconnected(Error, OSError):
    """Raised by send() when the other side is gone (ASGI 2.4), and by write()
    of WSGI."""

@final
class Pool:
    """A queue of WSGI calls for the threads that run()."""

    def __new__(cls) -> Self: ...
    def run(self, /) -> None:
        """Run calls until close(); the target of a thread."""

    def close(self, /) -> None:
        """Let the threads end when the queue is empty."""

@final
class Server:
    """An HTTP server inside a guaco.loop.Loop, or as a guest of another loop;
    guaco.Server is what people use.

    ``interface`` is "asgi" or "wsgi"; ``options`` has the values of the command
    line by their long names, times in seconds; ``hooks`` has what the faces
    call back, see guaco._server.  ValueError for a value out of range,
    KeyError for a hook that is missing.
    """

    def __new__(
        cls,
        loop: asyncio.AbstractEventLoop,
        app: Any,
        interface: str,
        options: dict[str, Any],
        hooks: dict[str, Any],
        /,
    ) -> Self: ...
    def set_tls(self, settings: str, /) -> None:
        """Read certificates and keys, for connections accepted from now on.
        ``settings`` is the JSON that a worker gets: "options" with ssl_*, and
        "ticket_secret".  ValueError or guaco.Error with a text that names the
        file; then those before stay."""

    def listen(self, fd: int, tls: bool = False, /) -> None:
        """Take a bound, listening stream socket; after start() it accepts at
        once.  ValueError when it is none."""

    def start(self, /) -> None:
        """Accept connections."""

    def drain(self, seconds: float, done: Callable[[], object], /) -> None:
        """Accept no more, let what is open finish, abort it after ``seconds``;
        then call ``done``.  A second call only shortens the time."""

    def set_access_log(self, fd: int, /) -> None:
        """Write the access log there from now on; ``fd`` is borrowed."""

    def cancel(self, /) -> int:
        """Cancel the tasks of requests; how many there were."""

    def running(self, /) -> int:
        """Application calls that have not returned."""

    def stats(self, /) -> dict[str, int]:
        """Counters since start: connections, requests, errors, timeouts,
        bytes_in, bytes_out, connections_open, exchanges_open."""

    def close(self, /) -> None:
        """Abort what is open and close the sockets."""

def board_open(tracer: int, /) -> None:
    """From now on show a profiler what this process does, and let process
    ``tracer`` and its children read its memory (0: those who may anyway)."""

def own_pid() -> int:
    """os.getpid() without the system call."""

def board_is_open() -> bool:
    """Whether anything is shown."""

def board_set(kind: int, name: str, id: int, /) -> None:
    """This thread runs something called ``name`` from now on; kind 2 is a task,
    3 a schedule, 4 the start of the program, 0 nothing."""

def board_tag(kind: int, name: str, id: int, /) -> None:
    """What runs in the current context, and in copies of it, is called so: a
    guaco.loop.Loop shows it at each step."""

@final
class Profile:
    """Samples of a process.  See guaco.profile."""

    def __new__(
        cls,
        pid: int,
        threads: int,
        period_us: int,
        counts_idle: bool,
        by_function: bool,
        title: str,
        /,
    ) -> Self: ...
    def start(self) -> None:
        """Have a native thread sample from now on."""

    def stop(self) -> None:
        """End the thread of start() and wait for it."""

    def sample(self) -> bool:
        """Take one; False: the process has ended."""

    def counts(self) -> tuple[int, int, int, bool]:
        """(samples, stacks, dropped, has_ended)"""

    def render(self, form: int, /) -> bytes:
        """What was counted, in one of the forms."""

    def dump(self, locals: bool, /) -> bytes:
        """What each thread does now, as JSON."""

    def close(self) -> None:
        """Stop and free it; idempotent."""
