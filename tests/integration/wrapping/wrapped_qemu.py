"""A QEMU, perhaps with a monitor of the test's own, and clients at its other monitors: what it makes of a command line."""

import json
import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from proxy.qemu_command_line.monitors import Kind
from tests.integration.qemu_vm import RETRY_S
from tests.support.raw_client import DEADLINE_S

__all__ = ["EndedError", "Outcome", "Reader", "Started", "accepted", "bytes_of", "connected", "connected_to_port", "outcome_of"]

# Of a unix or a TCP socket.
Address: TypeAlias = str | tuple[str, int]

_PORT: Final = re.compile(r"(?:tcp|telnet):(?P<host>[\d.]+|\[[\da-f:]+\]):(?P<port>\d+)")
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class EndedError(Exception):
    """QEMU has closed a connection."""


# What a monitor sends next.
Reader = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a start.

    Attributes:
        filenames: of each character device, as in `query-chardev`; empty if QEMU ended.
        kinds: what each monitor speaks that a client came to, by its label.
        status: how QEMU ended by itself; None if it runs.
        stderr: what it had to say then.
    """

    filenames: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    status: int | None = None
    stderr: str = ""


class Started:
    """A QEMU process; leaving the context kills it. All that it inherits is closed here.

    command: with the program. environment: None for that of the test.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, inherited: Sequence[int], environment: Mapping[str, str] | None = None
    ) -> None:
        self.stack = ExitStack()
        self.daemonizes = "-daemonize" in command
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            pass_fds=inherited,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stack.close()
        self.process.kill()
        self.process.communicate()

    @property
    def has_ended(self) -> bool:
        """Whether no QEMU is there any more."""
        status = self.process.poll()
        return status is not None and not (self.daemonizes and status == 0)

    def wait_end(self) -> Outcome:
        _, stderr = self.process.communicate(timeout=DEADLINE_S)
        return Outcome(status=self.process.returncode, stderr=stderr.decode())


def filenames(control: socket.socket) -> dict[str, str]:
    """Ask for the character devices. Raises EndedError if QEMU ends before it answers."""
    text = b"\n".join(json.dumps({"execute": name}).encode() for name in ("qmp_capabilities", "query-chardev"))
    try:
        control.sendall(text)
    except OSError as exc:
        raise EndedError from exc
    data = b""
    read = bytes_of(control.fileno())
    while True:
        data += read()
        messages: list[Any] = [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        for message in messages:
            if isinstance(message.get("return"), list):
                return {device["label"]: device["filename"] for device in message["return"]}


def bytes_of(descriptor: int) -> Reader:
    """Return what reads there, within the deadline, and raises EndedError at the end."""

    def read() -> bytes:
        readable, _, _ = select.select([descriptor], [], [], DEADLINE_S)
        assert readable, "nothing came"
        try:
            data = os.read(descriptor, 4096)
        except ConnectionError as exc:
            raise EndedError from exc
        if not data:
            raise EndedError
        return data

    return read


def kind_of(read: Reader) -> Kind:
    """Tell what a monitor speaks by how it begins."""
    data = b""
    while True:
        data += read()
        if b"monitor - type 'help'" in data:
            return Kind.HMP
        if (found := re.search(rb'\{(\s*)"QMP"', data)) is not None:
            return Kind.QMP_PRETTY if b"\n" in found[1] else Kind.QMP


def outcome_of(qemu: Started, control: socket.socket, readers: Callable[[dict[str, str]], Mapping[str, Reader]]) -> Outcome:
    """Wait for a QEMU to run or to end.

    control: the test's end of a monitor. readers: takes the names of the devices' files, returns a client of each monitor.
    """
    try:
        found = filenames(control)
    except EndedError:
        return qemu.wait_end()
    return Outcome(found, {label: kind_of(read) for label, read in readers(found).items()})


def connected(qemu: Started, address: Address) -> socket.socket | None:
    """Connect as soon as somebody listens; None if QEMU has ended before."""
    deadline = time.monotonic() + DEADLINE_S
    while not qemu.has_ended:
        client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        try:
            client.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            assert time.monotonic() < deadline, address
        else:
            return qemu.stack.enter_context(client)
        time.sleep(RETRY_S)
    return None


def connected_to_port(qemu: Started, filename: str) -> socket.socket:
    """Connect to where a character device listens, by the name of its file."""
    found = _PORT.search(filename)
    assert found is not None, filename
    host = found["host"].strip("[]")
    address = (_ANY_HOST.get(host, host), int(found["port"]))
    return qemu.stack.enter_context(socket.create_connection(address, DEADLINE_S))


def accepted(qemu: Started, listener: socket.socket) -> socket.socket | None:
    """Take a connection of QEMU's; None if it has ended before."""
    deadline = time.monotonic() + DEADLINE_S
    while not select.select([listener], [], [], RETRY_S)[0]:
        assert time.monotonic() < deadline, listener
        if qemu.has_ended:
            return None
    client, _ = listener.accept()
    return qemu.stack.enter_context(client)
