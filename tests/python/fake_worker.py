"""A worker that speaks the supervisor's protocol and no more: what test_supervisor*.py
start in place of an interpreter (--python).  The target says how it behaves:

    fake:serve     answers each connection with one line of JSON about itself
    fake:fail      reports a failure, ends with 3
    fake:crash     dies by SIGKILL before it is ready
    fake:silent    is never ready
    fake:FILE      does what the file says now: one of the words above

A task worker reports one queue, in the store that FAKE_STORE names.

On "listen" it takes sockets, on "logs" other log files.  On the line "die" it kills itself, on "leave" it drains by itself, on "exit N" it exits.
"""

import array
import contextlib
import json
import os
import pathlib
import selectors
import signal
import socket
import sys

channel = socket.socket(fileno=int(os.environ["GUACO_CHANNEL_FD"]))
fds = array.array("i")
data, control, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(64 * fds.itemsize))
for _, _, payload in control:
    fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
start = json.loads(data)
listeners = [socket.socket(fileno=fd) for fd in fds[: len(start["sockets"])]]
mode = start["target"].split(":", 1)[1]
if (path := pathlib.Path(mode)).exists():
    mode = path.read_text().strip()


def send(**event: object) -> None:
    with contextlib.suppress(OSError):  # the supervisor may be gone
        channel.send(json.dumps(event).encode())


def about() -> bytes:
    known = {"pid": os.getpid(), "argv": sys.argv[1:], "ppid": os.getppid()}
    return json.dumps(start | known).encode() + b"\n"


if mode == "fail":
    send(event="failed", text="Traceback (most recent call last):\n  no such app\n")
    sys.exit(3)
if mode == "silent":
    signal.pause()
if mode == "crash":
    os.kill(os.getpid(), signal.SIGKILL)

signal_end, wake = socket.socketpair()
wake.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
signal.signal(signal.SIGINT, lambda *_: os._exit(77))  # must never reach us

os.set_blocking(channel.fileno(), False)
selector = selectors.DefaultSelector()
selector.register(channel, selectors.EVENT_READ)
selector.register(signal_end, selectors.EVENT_READ)


def listen(listener: socket.socket) -> None:
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)


for listener in listeners:
    listen(listener)
if start["role"] == "queue-admin":
    print("admin", *start["operands"], flush=True)
    sys.exit(7)
if start["role"] == "tasks":
    send(event="queues", queues=[{"name": "q", "url": os.environ["FAKE_STORE"]}])
send(event="ready", pid=os.getpid())

connections: set[socket.socket] = set()
draining = False


def drain() -> None:
    global draining
    draining = True
    for listener in listeners:
        selector.unregister(listener)
    listeners.clear()


def obey() -> None:
    """Take one command of the supervisor."""
    data, fds, _, _ = socket.recv_fds(channel, 65536, 64)
    command = json.loads(data)["command"] if data else "drain"
    if not data:
        selector.unregister(channel)
    if command == "listen":
        for fd in fds:
            listeners.append(socket.socket(fileno=fd))
            listen(listeners[-1])
    elif command == "logs":
        os.dup2(fds[0], 2)
        os.write(fds[1], b"reopened\n")
    elif not draining:
        send(event="draining")
        drain()


def serve(connection: socket.socket) -> None:
    word, _, rest = connection.recv(100).decode().strip().partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "exit":
        os._exit(int(rest))
    if word == "leave":
        send(event="draining")
        drain()
    if word == "exhaust":
        send(event="exhausted")
    if word == "print":
        os.write(2, rest.encode() + b"\n")
    if word == "hold":
        connection.sendall(about())
        return  # open until the client closes
    if word:
        connection.sendall(about())
    selector.unregister(connection)
    connections.discard(connection)
    connection.close()


while not (draining and not connections):
    for key, _ in selector.select():
        source = key.fileobj
        if source in listeners:
            try:
                connection, _ = source.accept()
            except BlockingIOError:
                continue
            connections.add(connection)
            selector.register(connection, selectors.EVENT_READ)
        elif source in connections:
            serve(source)
        elif source is channel:
            obey()
        elif not draining:  # SIGTERM
            drain()
