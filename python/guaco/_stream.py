"""Stream transports of the event loop: TCP, Unix sockets, and TLS over them.

A transport is asyncio's own, for every state that a connection can be in; what
happens for each packet while there is nothing special about it is C
(``guaco._core.StreamIO``).
"""

from __future__ import annotations

import asyncio
from asyncio import constants, selector_events, sslproto
from collections.abc import Iterable
from typing import Any

from guaco._core import StreamIO

# What the stubs of the standard library do not show.
_Base: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
_constants: Any = constants
_sslproto: Any = sslproto


class StreamTransport(_Base):  # type: ignore[misc]
    """A connected socket of a loop.

    Where asyncio's would begin to buffer, to shut down or to end, ``_io.direct``
    is cleared, so that each write comes here; it is set again by the first one
    that leaves nothing behind.
    """

    def __init__(self, loop: Any, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._io = io = StreamIO(self, sock.fileno())
        self._read_ready = io.read
        self.write = io.write
        super().__init__(loop, sock, *args, **kwargs)
        io.direct = True

    def set_protocol(self, protocol: Any) -> None:
        """Hand what comes from now on to another protocol."""
        self._io.set_protocol(
            protocol, isinstance(protocol, asyncio.BufferedProtocol)
        )
        super().set_protocol(protocol)

    def _write_slowly(self, data: Any) -> None:
        """write() of the standard library's; StreamIO calls it.

        It would keep a buffer that the caller may change.
        """
        if isinstance(data, bytearray) or (
            isinstance(data, memoryview) and data.c_contiguous
        ):
            data = bytes(data)
        super().write(data)
        self._settle()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several pieces."""
        super().writelines(list_of_data)
        self._settle()

    def _settle(self) -> None:
        self._io.direct = not (
            self._buffer
            or self._eof
            or self._conn_lost
            or self._empty_waiter is not None
        )

    def write_eof(self) -> None:
        """Shut the sending side down once all was sent."""
        self._io.direct = False
        super().write_eof()

    def close(self) -> None:
        """End once all was sent."""
        self._io.direct = False
        super().close()

    def _force_close(self, exc: BaseException | None) -> None:
        self._io.direct = False
        if self._loop is not None:  # older asyncio: lost, but not marked so
            super()._force_close(exc)

    def _make_empty_waiter(self) -> Any:
        self._io.direct = False
        return super()._make_empty_waiter()

    def _reset_empty_waiter(self) -> None:
        super()._reset_empty_waiter()
        self._settle()

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            super()._call_connection_lost(exc)
        finally:
            self._io.release()
            # The class's write() counts and warns.  No bound method is left: a
            # transport that ended is freed at once.
            del self._read_ready, self.write
            self._read_ready_cb = None
            if hasattr(self, "_write_ready"):
                self._write_ready = None


class StreamTransports:
    """The two methods of asyncio's selector loop that make transports."""

    def _make_socket_transport(
        self,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        *,
        extra: Any = None,
        server: Any = None,
        **more: Any,
    ) -> StreamTransport:
        loop: Any = self
        loop._ensure_fd_no_transport(sock)
        return StreamTransport(
            loop, sock, protocol, waiter, extra, server, **more
        )

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        ssl_handshake_timeout: float = _constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float = _constants.SSL_SHUTDOWN_TIMEOUT,
        **more: Any,
    ) -> Any:
        loop: Any = self
        loop._ensure_fd_no_transport(rawsock)
        tls = _sslproto.SSLProtocol(
            loop,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        StreamTransport(loop, rawsock, tls, extra=extra, server=server, **more)
        return tls._app_transport
