"""A terminal of 24 lines for programs that draw on it: what a person would see."""

import fcntl
import os
import pty
import re
import selectors
import struct
import subprocess
import termios
import time

import pytest
from deadline import DEADLINE_S

ESCAPE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>78]")


class Screen:
    """A program in a pseudo-terminal; `lines` is its screen as a VT100 shows it."""

    def __init__(self, *command, rows=24, columns=100):
        self.rows, self.columns = rows, columns
        self.lines = [" " * columns for _ in range(rows)]
        self.row = self.column = 0
        self.rest = ""
        self.fd, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=side, stdout=side, stderr=side, start_new_session=True,
            env=os.environ | {"TERM": "vt100", "LC_ALL": "C.UTF-8"},
        )
        os.close(side)

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def wait_for(self, pattern, timeout_s=DEADLINE_S):
        """Draw what comes until the screen matches; the match.

        A screen that is half drawn may match: what has come is drawn first.
        """
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            while True:
                match = re.search(pattern, self.text(), re.M)
                if not selector.select(0 if match else deadline - time.monotonic()):
                    if match:
                        return match
                    pytest.fail(f"no {pattern!r} on the screen:\n{self.text()}")
                try:
                    self._draw(os.read(self.fd, 65536).decode())
                except OSError:
                    if match:
                        return match
                    pytest.fail(f"it ended without {pattern!r}:\n{self.text()}")

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)

    def end(self, timeout_s=DEADLINE_S):
        """Wait for its end; the exit code."""
        self.process.wait(timeout_s)
        os.close(self.fd)
        return self.process.returncode

    def _draw(self, text):
        text = self.rest + text
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = ESCAPE.match(text, at)
                if match is None and len(text) - at < 16:
                    break  # the rest of it comes with the next piece
                assert match, text[at : at + 16]
                self._control(*match.groups(""))
                at = match.end()
                continue
            self._put(text[at])
            at += 1
        self.rest = text[at:]

    def _put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        elif character == "\b":
            self.column = max(self.column - 1, 0)
        elif character >= " ":
            line = self.lines[self.row]
            self.column = min(self.column, self.columns - 1)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _control(self, arguments, letter):
        numbers = [int(n or 0) for n in arguments.lstrip("?").split(";")]
        first = max(numbers[0], 1)
        line = self.lines[self.row]
        if letter == "H":
            self.row = first - 1
            self.column = max((numbers + [1])[1], 1) - 1
        elif letter in "AB":
            self.row += first if letter == "B" else -first
        elif letter in "CD":
            self.column += first if letter == "C" else -first
        elif letter == "K":
            left, right = line[: self.column], line[self.column :]
            self.lines[self.row] = (
                " " * len(line[: self.column + 1]) + right[1:] if numbers[0] == 1
                else left + " " * len(right)
            )
        elif letter == "J":
            self.lines[self.row] = line[: self.column].ljust(self.columns)
            for n in range(self.row + 1, self.rows):
                self.lines[n] = " " * self.columns
