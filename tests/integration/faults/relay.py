"""A relay between the proxy and QEMU's monitor that can stop the conversation at a chosen message.

It is the lever of the fault tests: neither the proxy nor QEMU is changed, and nothing depends on who is faster. What is in
the way of a gate waits in the relay, and what is behind it in the same direction, too; out-of-band commands and their
replies pass. A proxy that dies takes along what it wrote and QEMU has not read, as with a socket of QEMU's own; what QEMU
wrote before it died is still delivered.
"""

import json
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from tests.fakes.wire import Framer
from tests.support.raw_client import DEADLINE_S, READ_BYTES

__all__ = ["Gate", "Kind", "Message", "Relay"]


class Kind(Enum):
    COMMAND = "command"
    REPLY = "reply"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it reached the relay. name: of the command, also for its reply, or of the event."""

    kind: Kind
    name: str
    content: dict[str, Any]
    raw: bytes = field(repr=False)
    is_out_of_band: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content.get("arguments", {})
        return found


Condition: TypeAlias = Callable[[Message], bool]


class Gate:
    """Where the conversation stops. `wait` until it has; `open` lets it go on."""

    def __init__(self, condition: Condition, on_reached: Callable[[], None], wake: Callable[[], None]) -> None:
        self.condition = condition
        self.is_open = False
        self._on_reached = on_reached
        self._wake = wake
        self._reached = threading.Event()

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    def reach(self) -> None:
        """Note that a message is in the way. The relay calls it."""
        self._on_reached()
        self._reached.set()

    def wait(self) -> None:
        """Wait for the message; AssertionError if it does not come."""
        assert self._reached.wait(DEADLINE_S), "the conversation did not come to the gate"

    def open(self) -> None:
        """Let go on what waits, and stop nothing any more."""
        self.is_open = True
        self._wake()


@dataclass(slots=True)
class _Way:
    """One direction of a connection: what came in part, and what waits at the gate."""

    source: socket.socket
    target: socket.socket
    framer: Framer | None = None
    partial: bytearray = field(default_factory=bytearray)
    waiting: deque[Message] = field(default_factory=deque)
    has_ended: bool = False

    def cut(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now. QEMU's are lines; a client's command need not end its line."""
        if self.framer is not None:
            return [raw + b"\n" for raw, _ in self.framer.feed(data)]
        *lines, rest = (self.partial + data).split(b"\n")
        self.partial[:] = rest
        return [bytes(line) + b"\n" for line in lines]


class _Connection:
    def __init__(self, proxy: socket.socket, qemu: socket.socket) -> None:
        self.to_qemu = _Way(proxy, qemu, Framer())
        self.to_proxy = _Way(qemu, proxy)
        # The in-band commands that QEMU has not answered, in order, and the ids of the out-of-band ones.
        self.unanswered: deque[Message] = deque()
        self.out_of_band: dict[str, Message] = {}

    def read(self, raw: bytes, *, is_command: bool) -> Message:
        """Understand a message; a reply takes its name from its command."""
        content: dict[str, Any] = json.loads(raw)
        if is_command:
            return self._read_command(raw, content)
        if "event" in content:
            return Message(Kind.EVENT, content["event"], content, raw)
        if "QMP" in content:
            return Message(Kind.EVENT, "greeting", content, raw)
        command = self.out_of_band.pop(repr(content.get("id")), None)
        if command is not None:
            return Message(Kind.REPLY, command.name, {**command.content, **content}, raw, is_out_of_band=True)
        if not self.unanswered:
            return Message(Kind.REPLY, "owed to an earlier connection", content, raw)
        command = self.unanswered.popleft()
        return Message(Kind.REPLY, command.name, {**command.content, **content}, raw)

    def _read_command(self, raw: bytes, content: dict[str, Any]) -> Message:
        if "exec-oob" in content:
            command = Message(Kind.COMMAND, content["exec-oob"], content, raw, is_out_of_band=True)
            self.out_of_band[repr(content.get("id"))] = command
        else:
            command = Message(Kind.COMMAND, content["execute"], content, raw)
            self.unanswered.append(command)
        return command


class Relay:
    """Listen at `<folder>/relay.sock` and pass on to QEMU's socket. Leaving the context ends all connections.

    arrived: every message in the order in which it reached the relay, held up or not.
    """

    def __init__(self, folder: Path, upstream: str) -> None:
        self.path: Final = str(folder / "relay.sock")
        self.arrived: list[Message] = []
        self._upstream = upstream
        self._gate: Gate | None = None
        self._connections: dict[socket.socket, tuple[_Connection, _Way]] = {}
        self._selector = selectors.DefaultSelector()
        self._listening = socket.socket(socket.AF_UNIX)
        self._waker, self._woken = socket.socketpair()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._listening.bind(self.path)
        self._listening.listen()
        for sock in (self._listening, self._woken):
            self._selector.register(sock, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_ending = True
        self._wake()
        self._thread.join()
        for sock in (*self._connections, self._listening, self._woken, self._waker):
            sock.close()
        self._selector.close()
        Path(self.path).unlink()

    def gate(self, condition: Condition, on_reached: Callable[[], None] = lambda: None) -> Gate:
        """Stop at the first message from now on for which the condition holds. It is asked about each one, in order.

        on_reached: called at once, in the relay's thread.
        """
        self._gate = Gate(condition, on_reached, self._wake)
        return self._gate

    def commands(self, *names: str) -> list[Message]:
        """Return the commands of these names that the proxy has written so far."""
        return [message for message in self.arrived if message.kind is Kind.COMMAND and message.name in names]

    def replies(self, *names: str) -> list[Message]:
        """Return the replies to commands of these names that QEMU has written so far."""
        return [message for message in self.arrived if message.kind is Kind.REPLY and message.name in names]

    def _wake(self) -> None:
        self._waker.send(b"\n")

    def _run(self) -> None:
        while not self._is_ending:
            for key, _ in self._selector.select():
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listening:
                    self._accept()
                elif sock is self._woken:
                    self._woken.recv(READ_BYTES)
                    self._go_on()
                elif sock in self._connections:
                    self._receive(*self._connections[sock])

    def _accept(self) -> None:
        proxy, _ = self._listening.accept()
        qemu = socket.socket(socket.AF_UNIX)
        try:
            qemu.connect(self._upstream)
        except OSError:
            proxy.close()
            qemu.close()
            return
        connection = _Connection(proxy, qemu)
        for way in (connection.to_qemu, connection.to_proxy):
            self._connections[way.source] = connection, way
            self._selector.register(way.source, selectors.EVENT_READ)

    def _receive(self, connection: _Connection, way: _Way) -> None:
        try:
            data = way.source.recv(READ_BYTES)
        except ConnectionResetError:
            data = b""
        if not data:
            self._end(connection, way)
            return
        for raw in way.cut(data):
            message = connection.read(raw, is_command=way is connection.to_qemu)
            self.arrived.append(message)
            self._pass_or_hold(way, message)

    def _pass_or_hold(self, way: _Way, message: Message) -> None:
        gate = self._gate
        if gate is not None and not gate.is_reached and gate.condition(message):
            gate.reach()
            way.waiting.append(message)
        elif way.waiting and not message.is_out_of_band:
            way.waiting.append(message)
        else:
            _send(way, message.raw)

    def _go_on(self) -> None:
        if self._gate is None or not self._gate.is_open:
            return
        for connection, way in list(self._connections.values()):
            while way.waiting:
                _send(way, way.waiting.popleft().raw)
            if way.has_ended:
                self._close(connection)

    def _end(self, connection: _Connection, way: _Way) -> None:
        way.has_ended = True
        self._selector.unregister(way.source)
        if way is connection.to_qemu or not way.waiting:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        for way in (connection.to_qemu, connection.to_proxy):
            if self._connections.pop(way.source, None) is not None:
                if not way.has_ended:
                    self._selector.unregister(way.source)
                way.source.close()


def _send(way: _Way, raw: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # its end is noticed by reading
        way.target.sendall(raw)
