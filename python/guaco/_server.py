"""guaco.Server and guaco.run: a gateway inside a Python process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import guaco.loop
from guaco import _core
from guaco._interface import (
    AsgiApp,
    TargetError,
    adapt,
    detect,
    import_target,
)
from guaco._lifespan import Lifespan, LifespanError

_log = logging.getLogger("guaco.error")

# Values of --interface and --lifespan.
_CHOICES = {
    "interface": ("auto", "asgi", "wsgi"),
    "lifespan": ("auto", "on", "off"),
    "forwarded_header": ("x-forwarded", "forwarded"),
    "ssl_min_version": ("1.2", "1.3"),
}

# Of ssl_cert_reqs, by the number of ssl.VerifyMode and by the word.
_CERT_REQS = ("none", "optional", "required")

# What Server understands beside what the core's table of limits has.
_OPTIONS = frozenset(
    {
        "access_log",
        "access_log_format",
        "app_dir",
        "backlog",
        "bind",
        "compress",
        "compress_min_bytes",
        "compress_type",
        "date_header",
        "factory",
        "fd",
        "forwarded_allow_ips",
        "forwarded_header",
        "host",
        "http1",
        "http2",
        "interface",
        "lifespan",
        "limit_body_bytes",
        "limit_concurrency",
        "limit_connections",
        "limit_fields",
        "limit_h2_controls",
        "limit_h2_resets",
        "limit_h2_streams",
        "limit_h2_window_bytes",
        "limit_head_bytes",
        "limit_keep_alive_requests",
        "limit_max_requests",
        "limit_max_requests_jitter",
        "limit_ws_message_bytes",
        "log_level",
        "port",
        "proxy_allow_from",
        "proxy_headers",
        "proxy_protocol",
        "root_path",
        "server_header",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_keyfile_password",
        "ssl_keyfile_password_file",
        "ssl_min_version",
        "static",
        "static_dotfiles",
        "static_immutable",
        "static_index",
        "static_max_age",
        "static_precompressed",
        "threads",
        "timeout_body",
        "timeout_graceful_shutdown",
        "timeout_handshake",
        "timeout_head",
        "timeout_keep_alive",
        "timeout_send",
        "uds",
        "workers",
        "ws_deflate",
        "ws_ping_interval",
        "ws_ping_timeout",
    }
)

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)

# For requests that are cancelled when the time for draining is over.
_CANCEL_SECONDS = 5.0


class Server:
    """An ASGI or WSGI application behind HTTP, in the running event loop.

    ``app`` is the application, or its name as ``"module:attribute"``.  The
    options are those of ``guaco serve``, with ``_`` for ``-``; an unknown one
    is a TypeError.  ``sockets`` are bound and listening ones to use in place of
    ``bind``, ``host`` and ``port``, ``uds`` or ``fd``.

        server = guaco.Server(app, port=8000)
        await server.serve()

    It is fastest in a guaco.loop.Loop: run that by guaco.loop.run(), or by
    ``asyncio.run(main(), loop_factory=guaco.loop.new_event_loop)``.  In any
    other loop it is a guest.
    """

    def __init__(
        self,
        app: Any,
        *,
        sockets: Sequence[socket.socket] | None = None,
        **options: Any,
    ) -> None:
        _check_options(options)
        self._target = app
        self._options = options
        self._sockets = list(sockets) if sockets is not None else None
        # Which of them speak TLS; None: all or none.
        self._tls: Sequence[bool] | None = None
        self._ticket_secret: str | None = None
        self._core: _core.Server | None = None
        self._pool: _core.Pool | None = None
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stop_is_wanted = False
        self._graceful: float | None = None
        self.started = False
        self.was_started = False
        #: Where the server listens, once it has started: as getsockname()
        #: gives it, and as a URL.
        self.addresses: list[Any] = []
        self.urls: list[str] = []
        #: Called without arguments when it listens, and when it stops.
        self.on_start: Callable[[], None] | None = None
        self.on_stop: Callable[[], None] | None = None
        #: Called in place of shutdown() after ``limit_max_requests``.
        self.on_exhausted: Callable[[], None] | None = None
        # Descriptors from the supervisor, by name.
        self._extras: dict[str, int] = {}
        self._meter: int | None = None
        # Of listen(), before it was started.
        self._more_sockets: list[tuple[socket.socket, bool]] = []

    @classmethod
    def of_worker(
        cls,
        app: Any,
        sockets: Sequence[socket.socket],
        options: dict[str, Any],
        extras: dict[str, int],
        *,
        tls: Sequence[bool] | None = None,
        ticket_secret: str | None = None,
        meter: int | None = None,
    ) -> Server:
        """With the options of a command line, of which some are not ours, and
        descriptors that the supervisor has handed over."""
        known = {
            name: value
            for name, value in options.items()
            if name in _OPTIONS and value is not None
        }
        server = cls(app, sockets=sockets, **known)
        server._tls = tls
        server._ticket_secret = ticket_secret
        server._extras = extras
        server._meter = meter
        return server

    # ---- life

    async def serve(self) -> None:
        """Serve until shutdown() is called or SIGINT or SIGTERM comes.

        Returns when all that was open is over.  TargetError or LifespanError
        if the application cannot be started, OSError if an address cannot be
        bound.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if self._stop_is_wanted:
            return
        app, interface = self._resolve()
        lifespan = Lifespan(
            app, self._options.get("lifespan", "auto") if interface == "asgi"
            else "off",
        )
        await lifespan.startup()
        try:
            with _signals(loop, self.shutdown, self._on_hangup()):
                self._open(loop, app, interface, lifespan)
                await self._stop.wait()
                await self._drain()
        finally:
            self._close()
            # A loop that was closed under us awaits nothing any more.
            if loop.is_running():
                await lifespan.shutdown(self._graceful_seconds())

    def shutdown(self, timeout: float | None = None) -> None:
        """Drain and return from serve(); open requests have ``timeout``
        seconds (``timeout_graceful_shutdown``).  A second call ends them at
        once."""
        if self._stop_is_wanted:
            self._graceful = 0.0
            if self._core is not None and self._stop is not None:
                self._core.cancel()
            return
        self._stop_is_wanted = True
        self._graceful = timeout
        if self._stop is not None:
            self._stop.set()

    @property
    def should_exit(self) -> bool:
        """uvicorn's name: setting it True is shutdown()."""
        return self._stop_is_wanted

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value and not self._stop_is_wanted:
            if self._loop is not None and not self._is_own_thread():
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    self._loop.call_soon_threadsafe(self.shutdown)
            else:
                self.shutdown()

    def reload_certificates(self) -> bool:
        """Read the files of ssl_certfile and its kin again, as SIGHUP does.

        Connections that are open keep theirs.  False when the files will not
        do: that is logged, and new connections get the old certificates too.
        """
        if self._core is None or not self._has_tls():
            return False
        try:
            self._core.set_tls(self._tls_settings())
        except (ValueError, _core.Error) as exc:
            _log.error("the certificates stay as they are: %s", exc)
            return False
        _log.info("certificates reloaded")
        return True

    def listen(self, listener: socket.socket, tls: bool = False) -> None:
        """Accept on one socket more, which is taken."""
        if self._core is not None:
            self._core.listen(listener.fileno(), tls)
            listener.detach()
        else:
            self._more_sockets.append((listener, tls))

    def set_access_log(self, fd: int) -> None:
        """Write the access log to another descriptor, which is taken."""
        before = self._extras.get("access_log")
        self._extras["access_log"] = fd
        if self._core is not None:
            self._core.set_access_log(fd)
        if before is not None:
            os.close(before)

    def stats(self) -> dict[str, int]:
        """Counters of the core; empty before start and after the end."""
        return {} if self._core is None else self._core.stats()

    # ---- parts

    def _is_own_thread(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _resolve(self) -> tuple[Any, str]:
        app = self._target
        if isinstance(app, str):
            app = import_target(app, self._options.get("app_dir"))
        if self._options.get("factory", False):
            app = app()
        interface = self._options.get("interface", "auto")
        if interface == "auto":
            interface = detect(app)
        if interface == "asgi":
            return adapt(app), interface
        if not callable(app):
            raise TargetError(f"{app!r} is not callable")
        return app, interface

    def _open(
        self,
        loop: asyncio.AbstractEventLoop,
        app: AsgiApp,
        interface: str,
        lifespan: Lifespan,
    ) -> None:
        if interface == "wsgi":
            self._start_pool(int(self._options.get("threads", 1)))
        hooks: dict[str, Any] = {
            "state": lifespan.state,
            "report": self._report,
            "disconnect": _is_disconnect,
            "root_path": (self._options.get("root_path") or "").rstrip("/"),
            "log": _log_line,
            "exhausted": self.on_exhausted or self.shutdown,
            "extras": self._extras,
            "meter": self._meter,
            "pool": self._pool,
            "errors": sys.stderr,
            "multiprocess": self._options.get("workers", 1) not in (1, None),
        }
        self._core = lifespan.context.run(
            _core.Server, loop, app, interface, self._core_options(), hooks
        )
        if self._has_tls():
            try:
                self._core.set_tls(self._tls_settings())
            except (ValueError, _core.Error) as exc:
                raise TargetError(str(exc)) from None
        self._listen(self._core)
        self._core.start()
        self.started = self.was_started = True
        if self.on_start is not None:
            self.on_start()

    def _listen(self, core: _core.Server) -> None:
        sockets, tls = self._sockets, self._tls
        if sockets is None:
            sockets = bind_sockets(self._options)
            tls = [is_tls for _, is_tls in _addresses(self._options)]
        if tls is None:
            tls = [self._has_tls()] * len(sockets)
        for listener, is_tls in zip(sockets, tls, strict=True):
            address = listener.getsockname()
            self.addresses.append(address)
            self.urls.append(_url(address, is_tls))
            core.listen(listener.detach(), is_tls)
        for listener, is_tls in self._more_sockets:
            core.listen(listener.detach(), is_tls)

    def _has_tls(self) -> bool:
        return bool(self._options.get("ssl_certfile"))

    def _tls_settings(self) -> str:
        """What the core reads: the message that a worker gets."""
        options: dict[str, Any] = {
            name: None if value is None else str(value)
            for name, value in self._options.items()
            if name.startswith("ssl_")
        }
        for name in ("http1", "http2"):
            options[name] = bool(self._options.get(name, True))
        for name in ("ssl_certfile", "ssl_keyfile"):
            options[name] = _paths(self._options.get(name))
        settings = {"options": options, "ticket_secret": self._ticket_secret}
        return json.dumps(settings)

    def _on_hangup(self) -> Callable[[], object] | None:
        return self.reload_certificates if self._has_tls() else None

    def _core_options(self) -> dict[str, Any]:
        options = dict(self._options)
        most = options.get("limit_max_requests") or 0
        jitter = options.pop("limit_max_requests_jitter", None) or 0
        if most and jitter:
            options["limit_max_requests"] = most + random.randint(0, jitter)
        return options

    def _start_pool(self, count: int) -> None:
        if count <= 1:
            return
        self._pool = _core.Pool()
        for i in range(count):
            thread = threading.Thread(
                target=self._pool.run, name=f"guaco-wsgi-{i}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def _graceful_seconds(self) -> float:
        if self._graceful is not None:
            return self._graceful
        seconds = self._options.get("timeout_graceful_shutdown")
        return 30.0 if seconds is None else float(seconds)

    async def _drain(self) -> None:
        assert self._core is not None
        if self.on_stop is not None:
            self.on_stop()
        drained = asyncio.Event()
        self._core.drain(self._graceful_seconds(), drained.set)
        await drained.wait()
        # Connections are over; what still runs has nobody to answer.
        if self._core.running() > 0:
            self._core.cancel()
            await self._wait_for_tasks()

    async def _wait_for_tasks(self) -> None:
        assert self._core is not None and self._loop is not None
        end = self._loop.time() + _CANCEL_SECONDS
        while self._core.running() > 0 and self._loop.time() < end:
            await asyncio.sleep(0.01)
        if self._core.running() > 0:
            _log.error(
                "%d requests did not end after they were cancelled",
                self._core.running(),
            )

    def _close(self) -> None:
        self.started = False
        if self._pool is not None:
            self._pool.close()
        for thread in self._threads:
            thread.join(timeout=0.1)
        if self._core is not None:
            self._core.close()
            self._core = None

    def _report(self, text: str, exc: BaseException | None) -> None:
        if isinstance(exc, asyncio.CancelledError):
            _log.error("the ASGI application was cancelled")
        else:
            _log.error(text, exc_info=exc)


# ---- what the core calls back


def _log_line(level: int, line: str) -> None:
    _log.log(_LEVELS[min(level, 3)], "%s", line)


def _is_disconnect(exc: BaseException) -> bool:
    """Whether ``exc`` is there because of a ClientDisconnected of ours: itself,
    raised from it, or a group of nothing else."""
    return _leads_to_disconnect(exc, {})


def _leads_to_disconnect(exc: BaseException, known: dict[int, bool]) -> bool:
    # Chains may be circles; a link that is being looked at leads nowhere.
    if id(exc) in known:
        return known[id(exc)]
    known[id(exc)] = False
    if isinstance(exc, _core.ClientDisconnected):
        found = True
    elif isinstance(exc, BaseExceptionGroup):
        found = all(_leads_to_disconnect(e, known) for e in exc.exceptions)
    else:
        cause = exc.__cause__ or exc.__context__
        found = cause is not None and _leads_to_disconnect(cause, known)
    known[id(exc)] = found
    return found


# ---- addresses


def bind_sockets(options: dict[str, Any]) -> list[socket.socket]:
    """Listening sockets for ``bind``, ``uds``, ``fd``, ``host`` and ``port``.

    OSError when an address is taken, ValueError when one is malformed.
    """
    backlog = int(options.get("backlog") or 2048)
    sockets: list[socket.socket] = []
    try:
        for address, _ in _addresses(options):
            sockets.append(_bind(address, backlog))
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    return sockets


def _addresses(options: dict[str, Any]) -> list[tuple[str, bool]]:
    """What to listen on, and whether with TLS."""
    addresses = list(options.get("bind") or ())
    if options.get("uds"):
        addresses.append(f"unix:{options['uds']}")
    if options.get("fd") is not None:
        addresses.append(f"fd:{options['fd']}")
    if not addresses or "host" in options or "port" in options:
        host = options.get("host") or "127.0.0.1"
        port = options.get("port")
        if ":" in host:
            host = f"[{host}]"
        addresses.insert(0, f"{host}:{8000 if port is None else port}")
    has_tls = bool(options.get("ssl_certfile"))
    found = []
    for address in addresses:
        if address.startswith("https://") and not has_tls:
            raise ValueError(f"{address} needs ssl_certfile")
        is_tls = has_tls and not address.startswith("http://")
        rest = address.removeprefix("https://").removeprefix("http://")
        found.append((rest, is_tls))
    return found


def _url(address: Any, is_tls: bool) -> str:
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http{'s' if is_tls else ''}://{host}:{address[1]}"


def _paths(value: Any) -> list[str]:
    """One path or several, as text."""
    if value is None:
        return []
    if isinstance(value, (str, os.PathLike)):
        value = [value]
    return [os.fspath(one) for one in value]


def _bind(address: str, backlog: int) -> socket.socket:
    if address.startswith("fd:"):
        return socket.socket(fileno=os.dup(int(address[3:])))
    if address.startswith("unix:"):
        return _bind_unix(address[5:], backlog)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{address!r} is not of the form HOST:PORT")
    family, kind, proto, _, where = socket.getaddrinfo(
        host.strip("[]"),
        int(port),
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind_unix(path: str, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not _answers(path):
                os.unlink(path)
        listener.bind(path)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _answers(path: str) -> bool:
    """Whether somebody listens on the socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True


# ---- options and signals


def _check_options(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in _OPTIONS:
            raise TypeError(f"unknown option {name!r}")
        if name == "ssl_cert_reqs":
            _check_cert_reqs(value)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(
                f"{name}={value!r} is none of {', '.join(_CHOICES[name])}"
            )


def _check_cert_reqs(value: Any) -> None:
    if str(value) not in (*_CERT_REQS, "0", "1", "2"):
        raise ValueError(
            f"ssl_cert_reqs={value!r} is none of {', '.join(_CERT_REQS)}"
        )


@contextlib.contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[], object],
    hangup: Callable[[], object] | None,
) -> Iterator[None]:
    """SIGINT and SIGTERM call ``stop``, SIGHUP ``hangup``, where handlers can
    be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hangup is not None:
        handlers[signal.SIGHUP] = hangup
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


__all__ = ["LifespanError", "Server", "TargetError", "bind_sockets"]
