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
from typing import Any

EXIT_DRAINED, EXIT_USAGE, EXIT_START_FAILURE = 0, 2, 3

_MESSAGE_MAX = 65536
_FDS_MAX = 64

# Roles other than "web": the module whose main(order, channel) is the worker.
_ROLES = {
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
    order, sockets = receive_order(channel)
    role: str = order["role"]
    if role == "web":
        return WebWorker(order, channel, sockets).run()
    module = importlib.import_module(_ROLES[role])
    code: int = module.main(order, channel)
    return code


def receive_order(
    channel: socket.socket,
) -> tuple[dict[str, Any], list[socket.socket]]:
    """The first message and the sockets that came with it."""
    data, fds, _flags, _address = socket.recv_fds(
        channel, _MESSAGE_MAX, _FDS_MAX
    )
    if not data:
        sys.exit(EXIT_DRAINED)  # the supervisor died before it could speak
    sockets = [socket.socket(fileno=fd) for fd in fds]
    for listener in sockets:
        listener.set_inheritable(False)
    order: dict[str, Any] = json.loads(data)
    return order, sockets


class WebWorker:
    """One process of the gateway: the application behind inherited sockets."""

    def __init__(
        self,
        order: dict[str, Any],
        channel: socket.socket,
        sockets: list[socket.socket],
    ) -> None:
        self._order = order
        self._target: str = order["target"]
        self._options: dict[str, Any] = order.get("options") or {}
        self._channel = channel
        self._sockets = sockets
        self._stop: Callable[[], None] | None = None

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
                tls=[bool(s.get("tls")) for s in self._order["sockets"]],
                ticket_secret=self._order.get("ticket_secret"),
            )
        except BaseException as exc:
            return self._failed(exc)
        server.on_start = lambda: self._tell("ready", pid=os.getpid())
        server.on_stop = lambda: self._tell("draining")
        self._stop = server.shutdown
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.get_loop().add_reader(self._channel, self._on_channel)
            try:
                runner.run(server.serve())
            except BaseException as exc:
                if self._stop is not None and not server.was_started:
                    return self._failed(exc)
                raise
            finally:
                runner.get_loop().remove_reader(self._channel)
        return EXIT_DRAINED

    def _load(self) -> Any:
        from guaco._interface import import_target

        return import_target(self._target, self._options.get("app_dir") or ".")

    # ---- the channel

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
        try:
            data = self._channel.recv(_MESSAGE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and json.loads(data).get("command") != "drain":
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel)
        if self._stop is not None:
            self._stop()


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
