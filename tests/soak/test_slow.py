"""Ten thousand slow connections leave a healthy client alone.

A third each sends its head, or its body, a byte a second, or takes nothing of its
large answer.  SLOW sets their number.
"""

import os
import resource
import socket
import statistics
import subprocess
import sys
import time

import pytest

from serving import served

SLOW = int(os.environ.get("SLOW", "10000"))
SECONDS = 10.0

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
READER = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


def be_slow(port: int, count: int) -> None:
    """The attacker, a process of its own: says `open` and drips until it is killed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100,) * 2)
    drips = []
    held = []
    for i in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall((HEAD, BODY, READER)[i % 3])
        (held if i % 3 == 2 else drips).append(sock)
    print("open", flush=True)
    while True:
        start = time.monotonic()
        for sock in drips:
            try:
                sock.send(b"x")
            except OSError:
                continue  # given up on by the server, as it should
        time.sleep(max(0.0, 1 - (time.monotonic() - start)))


def ask(sock: socket.socket) -> float:
    start = time.perf_counter()
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"0\r\n\r\n") and not answer.endswith(b"hello"):
        answer += sock.recv(65536)
    return time.perf_counter() - start


@pytest.mark.timeout(300)
def test_a_healthy_client_is_served(exe: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < SLOW + 200:
        pytest.skip(f"needs {SLOW + 200} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (SLOW + 200, hard))
    options = ("--limit-connections", str(SLOW + 100), "--backlog", "4096")
    with served(exe, "echo_app:app", *options) as (port, _pid):
        attacker = subprocess.Popen(
            [sys.executable, __file__, str(port), str(SLOW)], stdout=subprocess.PIPE
        )
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == b"open\n"
            times = []
            with socket.create_connection(("127.0.0.1", port)) as sock:
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    times.append(ask(sock))
            fresh = []
            for _ in range(100):
                start = time.perf_counter()
                with socket.create_connection(("127.0.0.1", port)) as sock:
                    ask(sock)
                fresh.append(time.perf_counter() - start)
        finally:
            attacker.kill()
            attacker.wait()
    for name, found in (("kept alive", times), ("new connections", fresh)):
        p99 = sorted(found)[int(len(found) * 0.99)]
        print(f"\n{SLOW} slow connections, {name}: {len(found)} requests, "
              f"p50 {statistics.median(found) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")
        assert p99 < 0.050


if __name__ == "__main__":
    be_slow(int(sys.argv[1]), int(sys.argv[2]))
