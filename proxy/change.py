"""Another configuration for a VM while it is served: what of it holds at once, and what only when QEMU has been asked.

The rules hold at once: who may send what must not wait for what a policy's patterns are about, the disks. A strict policy is
used only when its patterns have been compared with these. QEMU is asked by a client of our own then, because the connection to
QEMU is the router's.
"""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from host.addresses import Address, process
from host.config import VMConfig
from proxy.errors import HungUpError, ProxyError, UpstreamError
from proxy.net.ends import End, SocketEnd
from proxy.net.qmp_connection import ANSWER_TIMEOUT_S, QMPConnection
from shim.client import Client

__all__ = ["Change", "own_client"]


class Change:
    """Another configuration. whole: with all of it that can change. at_once: what holds before its patterns are compared."""

    def __init__(self, running: VMConfig, other: VMConfig) -> None:
        policy = replace(other.policy, exclusions=running.policy.exclusions)
        self.whole = running.read_again(replace(other, policy=policy))
        self.at_once = running.with_permissions_of(self.whole) if self.whole.is_strict else self.whole
        self._has_other_rules = self.whole.permissions != running.permissions

    @property
    def stays(self) -> str:
        """Return how the log ends where the patterns miss something, or cannot be compared."""
        if not self.whole.is_strict:
            return ""
        return "; the running configuration stays" + (", but for its rules, which are the new ones" * self._has_other_rules)

    def why_not_compared(self, exc: ProxyError) -> str:
        """Say what has come between, and what stays."""
        if isinstance(exc, HungUpError):
            return f"QEMU went before its disks were compared with the patterns{self.stays}"
        return f"its disks cannot be compared with the patterns: {exc}{self.stays}"


@contextlib.asynccontextmanager
async def own_client(
    admit: Callable[[End, Client], object],
    address: Address,
    new_id: Callable[[], str],
    name: str,
    client: Client | None = None,
) -> AsyncIterator[QMPConnection]:
    """Connect as a client, whom no limit keeps out, and negotiate. name: the VM's. client: for whom; None for ourselves.

    Raises HungUpError if QEMU goes, UpstreamError where there is no socket to be had, NotQMPError as QMPConnection does.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as exc:
        raise UpstreamError(str(address), exc.strerror or str(exc)) from exc
    theirs.setblocking(False)
    admit(SocketEnd(ours), replace(client or process(os.getpid(), os.getuid()), is_proxy=True))
    # For somebody else it may be any command, such as one that loads gigabytes.
    connection = QMPConnection(theirs, str(address), new_id, answer_timeout_s=ANSWER_TIMEOUT_S if client is None else None)
    try:
        await connection.negotiate(name)
        yield connection
    finally:
        connection.close()
