"""A blocking QMP client that keeps every byte as it came, for tests.

It is the legacy tool of the tests: one socket, one thread, lines in order. It knows nothing of the shim, and it never
waits longer than a deadline. Messages are framed as QEMU writes them (QEMU 7.2): a line each, or in pretty mode several
lines of which the last begins with the closing brace.
"""

import json
import os
import socket
import time
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from shim.qmp import encode

__all__ = [
    "DEADLINE_S",
    "NO_ID",
    "TIME_SCALE",
    "Address",
    "ConnectionLostError",
    "DeadlineError",
    "RawClient",
    "command_bytes",
    "is_reply",
    "negotiated",
]

# Slow machines set this to 2, 5, …; it scales every deadline of the tests.
TIME_SCALE: Final = float(os.environ.get("HMPSHIM_TEST_TIME_SCALE", "1"))
DEADLINE_S: Final = 20.0 * TIME_SCALE
READ_BYTES: Final = 64 * 1024

# A unix socket's path, or a TCP host and port.
Address: TypeAlias = str | os.PathLike[str] | tuple[str, int]


class _NoID:
    """The absence of an id: `None` is an id to QMP (qmp-spec.rst, "Issuing Commands": any JSON value)."""


NO_ID: Final = _NoID()


class DeadlineError(Exception):
    """Nothing complete arrived before the deadline."""

    def __init__(self, deadline_s: float, received: bytes) -> None:
        self.deadline_s = deadline_s
        self.received = received
        super().__init__(deadline_s, received)

    def __str__(self) -> str:
        return f"no complete message within {self.deadline_s:g} s; incomplete input: {self.received[:200]!r}"


class ConnectionLostError(Exception):
    """The peer closed the connection before a complete message came."""

    def __init__(self, received: bytes) -> None:
        self.received = received
        super().__init__(received)

    def __str__(self) -> str:
        return f"connection closed by the peer; incomplete input: {self.received[:200]!r}"


def command_bytes(name: str, arguments: dict[str, Any] | None = None, id: object = NO_ID) -> bytes:
    """Spell a command as a QMP line; without `id` the member is left out."""
    command: dict[str, Any] = {"execute": name}
    if arguments is not None:
        command["arguments"] = arguments
    if id is not NO_ID:
        command["id"] = id
    return encode(command).encode("ascii") + b"\n"


def negotiated(client: "RawClient") -> "RawClient":
    """Bring a client that has just connected into command mode; it is closed if that fails."""
    try:
        client.negotiate()
    except BaseException:
        client.close()
        raise
    return client


class RawClient:
    """A QMP client on a plain socket.

    `transcript` holds every raw message received, the greeting included. Each reading call raises DeadlineError when
    the deadline passes, and ConnectionLostError when the peer closes or resets the connection.
    """

    def __init__(self, sock: socket.socket, *, pretty: bool = False, deadline_s: float = DEADLINE_S) -> None:
        self.socket = sock
        self.pretty = pretty
        self.deadline_s = deadline_s
        self.transcript: list[bytes] = []
        self._buffer = bytearray()

    @classmethod
    def connect(cls, address: Address, *, pretty: bool = False, deadline_s: float = DEADLINE_S) -> Self:
        """Connect and read nothing; OSError when nobody listens there."""
        if isinstance(address, tuple):
            return cls(socket.create_connection(address, timeout=deadline_s), pretty=pretty, deadline_s=deadline_s)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline_s)
            sock.connect(os.fspath(address))
        except BaseException:
            sock.close()
            raise
        return cls(sock, pretty=pretty, deadline_s=deadline_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, raw: bytes) -> None:
        """Write all of `raw`; OSError when the peer is gone."""
        self.socket.settimeout(self.deadline_s)
        self.socket.sendall(raw)

    def receive_message(self) -> bytes:
        """Return the next message with its line end."""
        deadline = time.monotonic() + self.deadline_s
        while (end := self._message_end()) < 0:
            self._receive_more(deadline)
        message = bytes(self._buffer[:end])
        del self._buffer[:end]
        self.transcript.append(message)
        return message

    def receive(self) -> dict[str, Any]:
        """Return the next message, decoded."""
        value: dict[str, Any] = json.loads(self.receive_message())
        return value

    def read_until_reply(self) -> list[bytes]:
        """Return the raw messages up to and with the next reply; those before it are events."""
        messages = [self.receive_message()]
        while not is_reply(messages[-1]):
            messages.append(self.receive_message())
        return messages

    def read_until_event(self, name: str, **data: Any) -> list[bytes]:
        """Return the raw messages up to and with the next event `name` that has the members of `data`."""
        messages: list[bytes] = []
        while True:
            messages.append(self.receive_message())
            event = json.loads(messages[-1])
            if event.get("event") == name and data.items() <= event.get("data", {}).items():
                return messages

    def negotiate(self, *, oob: bool = False) -> dict[str, Any]:
        """Read the greeting, enter command mode, and give the greeting."""
        greeting = self.receive()
        reply = self.execute("qmp_capabilities", {"enable": ["oob"]} if oob else None)
        if "return" not in reply:
            raise AssertionError(f"qmp_capabilities refused: {reply}")
        return greeting

    def execute(self, name: str, arguments: dict[str, Any] | None = None, id: object = NO_ID) -> dict[str, Any]:
        """Send a command and give its decoded reply; events on the way are in `transcript`."""
        self.send(command_bytes(name, arguments, id))
        reply: dict[str, Any] = json.loads(self.read_until_reply()[-1])
        return reply

    def returned(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Send a command that must succeed and give what it returns."""
        reply = self.execute(name, arguments)
        if "return" not in reply:
            raise AssertionError(f"{name} failed: {reply}")
        return reply["return"]

    def hmp(self, command_line: str) -> str:
        """Run an HMP command and give its text."""
        text: str = self.returned("human-monitor-command", {"command-line": command_line})
        return text

    def expect_eof(self) -> bytes:
        """Read until the peer closes, and give what came before that and was no complete message read so far."""
        deadline = time.monotonic() + self.deadline_s
        while True:
            try:
                self._receive_more(deadline)
            except ConnectionLostError:
                return bytes(self._buffer)

    def half_close(self) -> None:
        """Send EOF and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.socket.close()

    def _receive_more(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlineError(self.deadline_s, bytes(self._buffer))
        self.socket.settimeout(left_s)
        try:
            received = self.socket.recv(READ_BYTES)
        except TimeoutError as exc:
            raise DeadlineError(self.deadline_s, bytes(self._buffer)) from exc
        except ConnectionResetError as exc:
            raise ConnectionLostError(bytes(self._buffer)) from exc
        if not received:
            raise ConnectionLostError(bytes(self._buffer))
        self._buffer += received

    def _message_end(self) -> int:
        if not self.pretty or self._buffer.startswith(b"}"):
            return self._buffer.find(b"\n") + 1 or -1
        start = self._buffer.find(b"\n}")
        return -1 if start < 0 else self._buffer.find(b"\n", start + 1) + 1 or -1


def is_reply(message: bytes) -> bool:
    """Tell whether a raw message is a command's reply."""
    return not {"return", "error"}.isdisjoint(json.loads(message))
