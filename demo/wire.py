"""A legacy tool: a plain socket, one HMP command at a time, the answer as text. It knows nothing about the proxy."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from demo.errors import DemoError
from demo.interrupt import Waiter
from demo.screen import Screen
from demo.vm import Program

__all__ = ["LegacyTool", "connect"]

_DEADLINE_S: Final = 30.0
_RETRY_S: Final = 0.01
_READ_BYTES: Final = 64 * 1024


class LegacyTool:
    """One connection. Every method raises DemoError if there is no proper answer, and Interrupted."""

    def __init__(self, sock: socket.socket, waiter: Waiter, screen: Screen) -> None:
        self._sock = sock
        self._waiter = waiter
        self._screen = screen
        self._buffer = b""

    def negotiate(self) -> Any:
        """Read the greeting and enter command mode; return the greeting's member `QMP`."""
        greeting = self._receive()
        self.execute("qmp_capabilities")
        return json.loads(greeting)["QMP"]

    def execute(self, command: str) -> Any:
        """Run a command without arguments, show nothing, and return what it returns."""
        return self._request({"execute": command}, is_shown=False)

    def monitor(self, command_line: str) -> str:
        """Send a line to the human monitor, show both directions, and return the answer."""
        arguments = {"command-line": command_line}
        text = self._request({"execute": "human-monitor-command", "arguments": arguments}, is_shown=True)
        if not isinstance(text, str):
            raise DemoError(f"the answer to '{command_line}' is no text: {text!r}")
        return text

    def _request(self, message: dict[str, Any], *, is_shown: bool) -> Any:
        line = json.dumps(message).encode() + b"\n"
        self._sock.sendall(line)
        if is_shown:
            self._screen.sent(line)
        while True:
            answer = self._receive()
            if is_shown:
                self._screen.received(answer)
            decoded = json.loads(answer)
            if "error" in decoded:
                raise DemoError(f"QEMU refuses {message['execute']}: {decoded['error']['desc']}")
            if "return" in decoded:
                return decoded["return"]

    def _receive(self) -> bytes:
        """Return the next message: QEMU writes each on a line of its own."""
        deadline = time.monotonic() + _DEADLINE_S
        while b"\n" not in self._buffer:
            if not self._waiter.wait_readable(self._sock, deadline):
                raise DemoError(f"no answer within {_DEADLINE_S:g} s")
            data = self._sock.recv(_READ_BYTES)
            if not data:
                raise DemoError("the connection was closed instead of an answer")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


@contextlib.contextmanager
def connect(path: Path, program: Program, waiter: Waiter, screen: Screen) -> Iterator[LegacyTool]:
    """Connect as soon as the program listens. Raises DemoError if it ends, or if it takes too long."""
    deadline = time.monotonic() + _DEADLINE_S
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        while not _has_connected(sock, path):
            program.check_alive()
            if time.monotonic() > deadline:
                raise DemoError(f"nobody listens on {path} after {_DEADLINE_S:g} s: {program.output}")
            waiter.sleep(_RETRY_S)
        yield LegacyTool(sock, waiter, screen)


def _has_connected(sock: socket.socket, path: Path) -> bool:
    try:
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True
