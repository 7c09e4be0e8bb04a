"""Another configuration for a VM while it is served: what of it holds at once, and what only when QEMU has been asked.

All of it holds at once but for a strict policy, which is used only when its patterns have been compared with the disks. Who may
send what must not wait for that. QEMU is asked by a client of our own then, because the connection to QEMU is the router's.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, Protocol, TypeAlias

from host.errors import ConfigError
from host.net.addresses import Address, process
from host.settings.config import VMConfig
from proxy.errors import HungUpError, NotQMPError, ProxyError, UpstreamError
from proxy.net.ends import End, SocketEnd
from proxy.net.qmp_connection import ANSWER_TIMEOUT_S, QMPConnection
from shim.client import Client

__all__ = ["POLICY_CHANGED", "Change", "PolicyCheck", "own_client"]

_log = logging.getLogger(__name__)

POLICY_CHANGED: Final = "the policy and the rules were read again"
_OwnClient: TypeAlias = AbstractAsyncContextManager[QMPConnection]


class Change:
    """Another configuration. whole: with what the running one has learnt. at_once: what holds before its patterns are compared.

    is_compared: whether that is asked for, where QEMU is there.
    """

    def __init__(self, running: VMConfig, other: VMConfig) -> None:
        self.whole = replace(other, policy=replace(other.policy, exclusions=running.policy.exclusions))
        self.at_once = replace(self.whole, policy=running.policy) if self.whole.is_strict else self.whole
        is_new = (self.whole.policy, self.whole.is_strict) != (running.policy, running.is_strict)
        self.is_compared = is_new and bool(self.whole.policy.patterns)

    @property
    def stays(self) -> str:
        """Return how the log ends where the patterns miss something, or cannot be compared."""
        return "; the running policy stays" if self.whole.is_strict else ""

    def why_not_compared(self, exc: ProxyError) -> str:
        """Say what has come between, and what stays."""
        if isinstance(exc, HungUpError):
            return f"QEMU went before its disks were compared with the patterns{self.stays}"
        return f"its disks cannot be compared with the patterns: {exc}{self.stays}"


class CheckedVM(Protocol):
    """The VM whose policy it is. own_client: asks its QEMU. use: takes the policy whose patterns have been compared."""

    @property
    def name(self) -> str: ...
    def own_client(self) -> _OwnClient: ...
    def use(self, config: VMConfig) -> None: ...


class PolicyCheck:
    """The patterns of a VM's policy, and whether each of them fits something.

    Call `look` with each connection, `begin` with a change of a running VM, and `close` at the end.
    complaints: of the last look, one for each pattern that fits nothing.
    """

    __slots__ = ("_task", "_vm", "complaints")

    def __init__(self, vm: CheckedVM) -> None:
        self.complaints: tuple[str, ...] = ()
        self._vm = vm
        self._task: asyncio.Task[str | None] | None = None

    async def look(self, connection: QMPConnection, config: VMConfig) -> None:
        """Log what the policy's patterns miss. Raises ConfigError where the configuration is strict."""
        if not config.policy.patterns:
            self.complaints = ()
            return
        from proxy.pattern_check import check_patterns  # here, because a start without patterns is quicker without it

        try:
            complaints = await check_patterns(connection, config)
        except ConfigError as exc:
            self.complaints = (str(exc),)
            raise
        self.complaints = tuple(map(str, complaints))
        for complaint in complaints:
            _log.warning("%s (of %s)", complaint, self._vm.name)

    def begin(self, change: Change) -> None:
        """Compare the patterns of a changed configuration, instead of those of an earlier one that is still compared."""
        self.cancel()
        self._task = asyncio.create_task(self._compare(change), name="change")

    async def outcome(self) -> str | None:
        """Wait for what was begun; return why its policy is not used, if it is not."""
        if self._task is None:
            return None
        await asyncio.wait((self._task,))
        return None if self._task.cancelled() else self._task.result()

    def cancel(self) -> None:
        """Give up what was begun."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Give it up, and wait until it is."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _compare(self, change: Change) -> str | None:
        try:
            async with self._vm.own_client() as connection:
                await self.look(connection, change.whole)
        except ConfigError as exc:
            problem = f"{exc}{change.stays}"
        except (NotQMPError, UpstreamError) as exc:
            problem = f"{self._vm.name}: {change.why_not_compared(exc)}"
        else:
            if change.whole.is_strict:
                self._vm.use(change.whole)
                _log.warning("%s: %s", self._vm.name, POLICY_CHANGED)
            return None
        _log.error("%s", problem)
        return problem if change.whole.is_strict else None


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
