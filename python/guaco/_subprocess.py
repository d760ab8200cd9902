"""Child processes of the event loop, waited for by pidfd.

No SIGCHLD handler is installed and no thread is started: the end of a child is
a readable descriptor.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import unix_events
from typing import Any

_unix: Any = unix_events  # whose stubs do not show the transport


class PidfdSubprocesses:
    """The one method of asyncio's Unix loop that deals with children."""

    async def _make_subprocess_transport(
        self,
        protocol: asyncio.SubprocessProtocol,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        extra: Any = None,
        **kwargs: Any,
    ) -> asyncio.SubprocessTransport:
        loop: Any = self
        waiter = loop.create_future()
        transport: asyncio.SubprocessTransport = _unix._UnixSubprocessTransport(
            loop, protocol, args, shell, stdin, stdout, stderr, bufsize,
            waiter=waiter, extra=extra, **kwargs,
        )  # fmt: skip
        _watch_child(loop, transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            await transport._wait()  # type: ignore[attr-defined]
            raise
        return transport


def _watch_child(loop: Any, transport: Any) -> None:
    pid = transport.get_pid()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:  # somebody else has waited for it
        loop.call_soon(transport._process_exited, 255)
        return

    def on_exit() -> None:
        loop._remove_reader(pidfd)
        os.close(pidfd)
        try:
            _, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            code = 255
        transport._process_exited(code)

    loop._add_reader(pidfd, on_exit)
