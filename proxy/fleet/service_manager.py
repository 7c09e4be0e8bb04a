"""Notify a service manager (sd_notify(3)): the process is ready, reads its configuration again, ends, is alive.

Messages go as datagrams to the socket that NOTIFY_SOCKET names; without it, nobody is notified. A message that cannot be sent
is dropped, because no VM may depend on it. Messages about descriptors that the manager is to keep are waited for.
"""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

from proxy.net.qmp_connection import ready

__all__ = ["ServiceManager"]

_NS_PER_US: Final = 1000
_US_PER_S: Final = 1e6


class ServiceManager:
    """Call the methods as things happen, and `close` at the end. environment: the process's environment; it is read once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._watchdog_s = _watchdog_s(environment)
        self._telling = asyncio.Lock()
        if path := environment.get("NOTIFY_SOCKET"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            with contextlib.suppress(OSError):
                self._socket.connect(f"\0{path[1:]}" if path.startswith("@") else path)

    def ready(self, status: str) -> None:
        """Report that the process serves, and its status in words; also after the configuration was read again."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Report that the configuration is being read again. `ready` reports the end."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // _NS_PER_US}")

    def stopping(self) -> None:
        """Report that the process ends in order, which may take a while."""
        self._tell("STOPPING=1", "STATUS=ending when what was begun is done")

    def main_process(self, pid: int | None) -> None:
        """Report that another process is the service from now on. The manager may listen only to this one."""
        if pid is not None:
            self._tell(f"MAINPID={pid}")

    @property
    def is_there(self) -> bool:
        """Return whether there is a service manager."""
        return self._socket is not None

    async def store(self, name: str, number: int) -> None:
        """Have the manager keep a descriptor for the next process that it starts, even after its peer has hung up.

        The manager does not say when it keeps nothing. Raises OSError if it cannot be notified. A manager that does not know
        FDPOLL= (systemd before 246) closes a descriptor whose peer has hung up.
        """
        await self._tell_surely(("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0"), (number,))

    async def discard(self, name: str) -> None:
        """Have the manager close what it keeps under a name. Raises OSError if it cannot be notified."""
        await self._tell_surely(("FDSTOREREMOVE=1", f"FDNAME={name}"))

    async def has_heard(self) -> None:
        """Wait until the manager has handled every message so far. Raises OSError if it cannot be notified."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                await self._tell_surely(("BARRIER=1",), (writer,))
            finally:
                os.close(writer)
            await ready(reader)
        finally:
            os.close(reader)

    def keep_watchdog(self) -> None:
        """Report twice per watchdog interval that the event loop runs, if the manager asks for it. Call it in the loop."""
        if self._watchdog_s is not None:
            self._tell("WATCHDOG=1")
            self._watchdog = asyncio.get_running_loop().call_later(self._watchdog_s / 2, self.keep_watchdog)

    def close(self) -> None:
        """Send no more messages."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._socket is not None:
            self._socket.close()

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send("\n".join(lines).encode(errors="surrogateescape"))

    async def _tell_surely(self, lines: Sequence[str], numbers: Sequence[int] = ()) -> None:
        """Send a message, and wait until there is room for it."""
        if self._socket is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        async with self._telling:
            while True:
                try:
                    socket.send_fds(self._socket, ["\n".join(lines).encode()], numbers)
                except BlockingIOError:
                    await ready(self._socket.fileno(), writing=True)
                else:
                    return


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return the interval in which the manager wants a sign of life from this process (sd_watchdog_enabled(3)), or None."""
    limit_us, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not (limit_us.isascii() and limit_us.isdigit()) or pid != str(os.getpid()):
        return None
    return int(limit_us) / _US_PER_S or None
