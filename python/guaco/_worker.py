"""A worker process: what the supervisor starts as ``python -m guaco._worker``.

Its end of a SOCK_SEQPACKET channel is the descriptor GUACO_CHANNEL_FD.  The
first message says what to be; the listening sockets come with it.  Exit codes:
0 drained, 1 crash, 2 usage, 3 the application could not be started.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from guaco import _core

if TYPE_CHECKING:
    from guaco._server import Server

EXIT_DRAINED, EXIT_USAGE, EXIT_START_FAILURE = 0, 2, 3

_MESSAGE_MAX = 65536
_FDS_MAX = 64

# Roles other than "web": the module whose main(order, channel) is the worker.
_ROLES = {
    "preload": "guaco._preload",
    "tasks": "guaco._taskworker",
    "queue-admin": "guaco._queueadmin",
}


def main() -> int:
    number = os.environ.pop("GUACO_CHANNEL_FD", None)
    if number is None:
        print(
            "guaco._worker is started by the guaco executable: try "
            "python -m guaco serve MODULE:APP",
            file=sys.stderr,
        )
        return EXIT_USAGE
    channel = socket.socket(fileno=int(number))
    channel.set_inheritable(False)
    order, fds = receive_order(channel)
    if (order.get("options") or {}).get("profile_socket"):
        # For the profiler, a child of our parent.
        _core.board_open(os.getppid())
        _core.board_set(4, order["target"], 0)
    role: str = order["role"]
    if role == "web":
        return WebWorker(order, channel, fds).run()
    module = importlib.import_module(_ROLES[role])
    code: int = module.main(order, channel)
    return code


def receive_order(
    channel: socket.socket,
) -> tuple[dict[str, Any], list[int]]:
    """The first message and the descriptors that came with it: the listening
    sockets, then those that its "extras" name."""
    data, fds, _flags, _address = socket.recv_fds(
        channel, _MESSAGE_MAX, _FDS_MAX
    )
    if not data:
        sys.exit(EXIT_DRAINED)  # the supervisor died before it could speak
    for fd in fds:
        os.set_inheritable(fd, False)
    order: dict[str, Any] = json.loads(data)
    return order, list(fds)


class WebWorker:
    """One process of the gateway: the application behind inherited sockets."""

    def __init__(
        self,
        order: dict[str, Any],
        channel: socket.socket,
        fds: list[int],
    ) -> None:
        self._order = order
        self._target: str = order["target"]
        self._options: dict[str, Any] = order.get("options") or {}
        self._channel = channel
        count = len(order.get("sockets") or ())
        self._sockets = [socket.socket(fileno=fd) for fd in fds[:count]]
        self._extras = dict(
            zip(order.get("extras") or (), fds[count:], strict=False)
        )
        self._server: Server | None = None

    def run(self) -> int:
        """Serve until told to drain; the exit code."""
        try:
            from guaco._run import setup_logging
            from guaco._server import Server

            setup_logging(self._options.get("log_level") or "info")
            loop_factory = loop_factory_of(self._options.get("loop"))
            server = Server.of_worker(
                self._load(),
                self._sockets,
                self._options,
                self._extras,
                tls=[bool(s.get("tls")) for s in self._order["sockets"]],
                ticket_secret=self._order.get("ticket_secret"),
                meter=self._order.get("meter"),
            )
        except BaseException as exc:
            return self._failed(exc)
        server.on_start = self._on_start
        server.on_stop = lambda: self._tell("draining")
        # It serves on until its successor is ready.
        server.on_exhausted = lambda: self._tell("exhausted")
        self._server = server
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.get_loop().add_reader(self._channel, self._on_channel)
            try:
                runner.run(server.serve())
            except BaseException as exc:
                if not server.was_started:
                    return self._failed(exc)
                raise
            finally:
                runner.get_loop().remove_reader(self._channel)
        return EXIT_DRAINED

    def _load(self) -> Any:
        from guaco._interface import import_target

        return import_target(self._target, self._options.get("app_dir") or ".")

    # ---- the channel

    def _on_start(self) -> None:
        _core.board_set(0, "", 0)
        self._tell("ready", pid=os.getpid())

    def _tell(self, event: str, **more: Any) -> None:
        self._send(event, **more)

    def _send(self, event: str, **more: Any) -> bool:
        message = json.dumps({"event": event, **more}).encode()
        try:
            self._channel.send(message)
        except OSError:
            return False  # the supervisor is gone: the end of file says so too
        return True

    def _failed(self, exc: BaseException) -> int:
        text = describe(exc)
        # A quarter: a character may take several bytes in JSON.
        if not self._send("failed", text=text[-_MESSAGE_MAX // 8 :]):
            print(text, file=sys.stderr)
        return EXIT_START_FAILURE

    def _on_channel(self) -> None:
        assert self._server is not None
        try:
            data, fds, _flags, _address = socket.recv_fds(
                self._channel, _MESSAGE_MAX, _FDS_MAX
            )
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._server.shutdown()
            return
        message = json.loads(data)
        command = message.get("command")
        if command == "drain":
            self._server.shutdown()
        elif command == "logs":
            reopen_logs(fds, self._server)
        elif command == "listen":
            for fd, about in zip(fds, message["sockets"], strict=True):
                listener = socket.socket(fileno=fd)
                self._server.listen(listener, bool(about.get("tls")))
        else:
            for fd in fds:
                os.close(fd)


def reopen_logs(fds: list[int], server: Server | None = None) -> None:
    """Go on with other log files: the error log's descriptor, and that of the
    access log."""
    errors, access = fds
    os.dup2(errors, 2)
    os.close(errors)
    if server is None:
        os.close(access)
    else:
        server.set_access_log(access)


def loop_factory_of(
    name: str | None,
) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop that --loop names; TargetError without uvloop."""
    from guaco._interface import TargetError

    if name == "asyncio":
        return asyncio.SelectorEventLoop
    if name == "uvloop":
        try:
            uvloop = importlib.import_module("uvloop")
        except ModuleNotFoundError as exc:
            raise TargetError(
                f"--loop uvloop: {exc.name} is not installed in {sys.prefix}"
            ) from None
        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    if name not in (None, "guaco"):
        raise ValueError(f"loop={name!r} is none of guaco, asyncio, uvloop")
    import guaco.loop

    return guaco.loop.new_event_loop


def describe(exc: BaseException) -> str:
    """A failure of starting for a person: a traceback without our own frames,
    or one line where the text says all."""
    from guaco._interface import TargetError
    from guaco._lifespan import LifespanError

    if isinstance(exc, (TargetError, LifespanError)):
        return str(exc)
    at = exc.__traceback__
    own = os.path.dirname(os.path.abspath(__file__)) + os.sep
    while at is not None and _is_own(at.tb_frame.f_code.co_filename, own):
        at = at.tb_next
    return "".join(
        traceback.format_exception(type(exc), exc, at or exc.__traceback__)
    ).rstrip()


def _is_own(filename: str, own: str) -> bool:
    return filename.startswith((own, "<frozen importlib")) or (
        os.sep + "importlib" + os.sep in filename
    )


if __name__ == "__main__":
    sys.exit(main())
