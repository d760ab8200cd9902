"""A client of raw sockets that reads what came, however it came."""

import dataclasses
import socket
import time

DEADLINE_S = 20.0


class Malformed(Exception):
    """The server's bytes are not a response."""


@dataclasses.dataclass
class Response:
    version: bytes
    status: int
    fields: list[tuple[bytes, bytes]]  # names in lower case
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    chunks: int = 0  # of a chunked body

    def get(self, name: str) -> bytes | None:
        """The value of the only field of that name, else None."""
        values = [v for n, v in self.fields if n == name.encode()]
        return values[0] if len(values) == 1 else None

    def count(self, name: str) -> int:
        return sum(n == name.encode() for n, _ in self.fields)


class Client:
    """One connection."""

    def __init__(self, host: str, port: int, timeout_s: float = DEADLINE_S) -> None:
        self.socket = socket.create_connection((host, port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.pending = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all, or as much as the server takes before it closes."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def _read_some(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def _more(self) -> None:
        data = self._read_some()
        if not data:
            raise EOFError(self.pending)
        self.pending += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.pending:
            self._more()
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line

    def exactly(self, count: int) -> bytes:
        while len(self.pending) < count:
            self._more()
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def _fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self._line():
            name, colon, value = line.partition(b":")
            if not colon or name != name.strip():
                raise Malformed(line)
            fields.append((name.lower(), value.strip(b" \t")))
        return fields

    def head(self) -> Response:
        """Read a head, informational ones too."""
        line = self._line()
        parts = line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
            raise Malformed(line)
        return Response(parts[0], int(parts[1]), self._fields())

    def _chunks(self, response: Response) -> None:
        while size := int(self._line().split(b";")[0], 16):
            response.body += self.exactly(size)
            response.chunks += 1
            if self._line():
                raise Malformed(b"no CRLF behind a chunk")
        response.trailers = self._fields()

    def body(self, response: Response, method: str = "GET") -> None:
        """Read the body that follows a final head (RFC 9112 6.3)."""
        if method == "HEAD" or response.status in (204, 304):
            return
        if response.get("transfer-encoding") == b"chunked":
            self._chunks(response)
        elif response.count("content-length"):
            response.body = self.exactly(int(response.get("content-length") or b"x"))
        else:
            response.body = self.rest()

    def response(self, method: str = "GET") -> Response:
        """Read a final response whole; informational ones are passed over."""
        while (response := self.head()).status < 200:
            pass
        self.body(response, method)
        return response

    def rest(self) -> bytes:
        """All bytes to the end of the stream."""
        while data := self._read_some():
            self.pending += data
        data, self.pending = self.pending, b""
        return data

    def is_closed(self) -> bool:
        """Whether the server ends the connection within the deadline."""
        end = time.monotonic() + self.timeout_s
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self._read_some():
                    return True
            except TimeoutError:
                break
        return False

    def speaks_http2(self) -> bool:
        """Whether the first that comes is a SETTINGS frame (RFC 9113 3.4)."""
        try:
            while len(self.pending) < 9:
                self._more()
        except EOFError:
            return False
        return self.pending[3] == 4

    def is_quiet(self, wait_s: float = 0.15) -> bool:
        """Whether no byte comes for a while; for bytes that must not come."""
        self.socket.settimeout(wait_s)
        try:
            self.pending += self._read_some()
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(self.timeout_s)
        return not self.pending


def request(
    method: str = "GET",
    target: str = "/",
    fields: dict[str, str] | None = None,
    body: bytes = b"",
) -> bytes:
    """A well-formed request; Content-Length is added for a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: a"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(target: str, *pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A chunked POST."""
    data = request("POST", target, {"Transfer-Encoding": "chunked"})
    for piece in pieces:
        data += b"%x\r\n%s\r\n" % (len(piece), piece)
    return data + end
