"""What a service manager is told of the process (sd_notify(3)): that it is ready, reads its configuration again, ends, lives.

Messages go as datagrams to the socket that NOTIFY_SOCKET names; without it there is nobody to tell. A message that cannot be
sent is dropped, because no VM may depend on it.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

__all__ = ["ServiceManager"]

_NS_PER_US: Final = 1000
_US_PER_S: Final = 1e6


class ServiceManager:
    """Call the methods as things happen, and `close` at the end. environment: of the process; it is read once."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._watchdog_s = _watchdog_s(environment)
        if path := environment.get("NOTIFY_SOCKET"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            with contextlib.suppress(OSError):
                self._socket.connect(f"\0{path[1:]}" if path.startswith("@") else path)

    def ready(self, status: str) -> None:
        """Tell that it serves, and how, in words; also when the configuration was read again."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Tell that the configuration is read again. `ready` tells the end."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // _NS_PER_US}")

    def stopping(self) -> None:
        """Tell that it ends in order, which may take a while."""
        self._tell("STOPPING=1", "STATUS=ending when what was begun is done")

    def main_process(self, pid: int | None) -> None:
        """Tell that another process is the service from now on. A manager may listen to none but this one."""
        if pid is not None:
            self._tell(f"MAINPID={pid}")

    def keep_watchdog(self) -> None:
        """Tell twice in the time that it allows that the event loop turns, if it wants to know. Call it in the loop."""
        if self._watchdog_s is not None:
            self._tell("WATCHDOG=1")
            self._watchdog = asyncio.get_running_loop().call_later(self._watchdog_s / 2, self.keep_watchdog)

    def close(self) -> None:
        """Tell nothing more."""
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._socket is not None:
            self._socket.close()

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send("\n".join(lines).encode(errors="surrogateescape"))


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return within which time a sign of life is wanted of this process (sd_watchdog_enabled(3)); None for never."""
    limit_us, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not (limit_us.isascii() and limit_us.isdigit()) or pid != str(os.getpid()):
        return None
    return int(limit_us) / _US_PER_S or None
