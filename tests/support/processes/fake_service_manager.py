"""A model of systemd, as far as it keeps descriptors for a service (sd_notify(3)) and passes them on (sd_listen_fds(3))."""

import array
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

__all__ = ["FakeServiceManager"]

_MOST_AT_ONCE: Final = 253
# Puts what it was passed where a service finds it, and becomes that service.
_STARTER: Final = """
import fcntl, os, sys
numbers, names, command = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
moved = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 1000) for number in numbers if number]
for place, number in enumerate(moved):
    os.dup2(number, 3 + place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


class FakeServiceManager:
    """most: FileDescriptorStoreMax=. Leaving the context closes what it keeps.

    kept: with their names, the last one that came first, as systemd 252 passes them. told: the other messages. is_silent: it
    does nothing about what it is told, and does not even answer.
    """

    def __init__(self, path: Path, *, most: int = 100) -> None:
        self.path = path
        self.most = most
        self.kept: list[tuple[str, int]] = []
        self.told: list[list[str]] = []
        self.is_silent = False
        self._unanswered: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._hear, name="service manager")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(self.path))
            sock.send(b"END")
        self._thread.join()
        self._socket.close()
        self.drop()
        for number in self._unanswered:
            os.close(number)

    @property
    def environment(self) -> dict[str, str]:
        """What a service finds there."""
        return {"NOTIFY_SOCKET": str(self.path)}

    @property
    def names(self) -> list[str]:
        with self._lock:
            return sorted(name for name, _ in self.kept)

    def drop(self, name: str | None = None) -> None:
        """Close what it keeps, or some of it."""
        with self._lock:
            for one in [one for one in self.kept if name in (None, one[0])]:
                self.kept.remove(one)
                os.close(one[1])

    def passed(self) -> dict[str, int]:
        """Return copies of what it keeps, as the next process has them."""
        with self._lock:
            return {name: os.dup(number) for name, number in self.kept}

    def start(
        self, command: Sequence[str], *, sockets: Mapping[str, socket.socket] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a service. sockets: those of its socket units, by name. options: of subprocess.Popen."""
        with self._lock:
            passed = [*((name, sock.fileno()) for name, sock in (sockets or {}).items()), *self.kept]
            numbers = [number for _, number in passed]
            told = [",".join(map(str, numbers)), ":".join(name for name, _ in passed)]
            starter = [sys.executable, "-c", _STARTER, *told, *command]
            environment = {**os.environ, **self.environment}
            return subprocess.Popen(starter, pass_fds=numbers, env=environment, **options)

    def _hear(self) -> None:
        room = socket.CMSG_SPACE(_MOST_AT_ONCE * array.array("i").itemsize)
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(1 << 16, room, socket.MSG_CMSG_CLOEXEC)
            numbers = [number for _, _, rights in ancillary for (number,) in struct.iter_unpack("i", rights)]
            if data == b"END":
                return
            lines = data.decode().split("\n")
            with self._lock:
                if self.is_silent:
                    self._unanswered += numbers
                    continue
                self._obey(lines, dict(line.split("=", 1) for line in lines), numbers)
            for number in numbers:
                os.close(number)

    def _obey(self, lines: list[str], members: Mapping[str, str], numbers: Sequence[int]) -> None:
        match members:
            case {"FDSTORE": "1", "FDNAME": name, "FDPOLL": "0"}:
                for number in numbers:
                    if len(self.kept) < self.most:
                        self.kept.insert(0, (name, os.dup(number)))
            case {"FDSTOREREMOVE": "1", "FDNAME": name}:
                for one in [one for one in self.kept if one[0] == name]:
                    self.kept.remove(one)
                    os.close(one[1])
            case {"BARRIER": "1"}:
                assert (len(lines), len(numbers)) == (1, 1)
            case _:
                assert not numbers
                self.told.append(lines)
