"""Another configuration for a VM while it is served: which part applies at once, and which only after QEMU has been asked.

Everything applies at once except a strict policy, which is used only after its patterns have been compared with the disks.
Changes of who may send what must not wait for that. QEMU is asked through a client of our own, because the connection to QEMU
belongs to the router.
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
    """Another configuration. whole: all of it, with what the running one has learnt about exclusions.

    at_once: what applies before its patterns are compared. is_compared: whether they have to be compared, if QEMU is there.
    """

    def __init__(self, running: VMConfig, other: VMConfig) -> None:
        self.whole = replace(other, policy=replace(other.policy, exclusions=running.policy.exclusions))
        self.at_once = replace(self.whole, policy=running.policy) if self.whole.is_strict else self.whole
        is_new = (self.whole.policy, self.whole.is_strict) != (running.policy, running.is_strict)
        self.is_compared = is_new and bool(self.whole.policy.patterns)

    @property
    def stays(self) -> str:
        """How a line of the log ends if patterns match nothing or cannot be compared."""
        return "; the running policy stays" if self.whole.is_strict else ""

    def why_not_compared(self, exc: ProxyError) -> str:
        """Say in words why the patterns could not be compared, and which policy stays."""
        if isinstance(exc, HungUpError):
            return f"QEMU went before its disks were compared with the patterns{self.stays}"
        return f"its disks cannot be compared with the patterns: {exc}{self.stays}"


class CheckedVM(Protocol):
    """The VM whose policy is checked. own_client: asks its QEMU. use: takes the policy whose patterns have been compared."""

    @property
    def name(self) -> str: ...
    def own_client(self) -> _OwnClient: ...
    def use(self, config: VMConfig) -> None: ...


class PolicyCheck:
    """Check whether each pattern of a VM's policy matches something.

    Call `look` with each connection, `begin` with a change of a running VM, and `close` at the end.
    complaints: those of the last look, one for each pattern that matches nothing.
    """

    __slots__ = ("_task", "_vm", "complaints")

    def __init__(self, vm: CheckedVM) -> None:
        self.complaints: tuple[str, ...] = ()
        self._vm = vm
        self._task: asyncio.Task[str | None] | None = None

    async def look(self, connection: QMPConnection, config: VMConfig) -> None:
        """Log which patterns of the policy match nothing. Raises ConfigError for that if the configuration is strict."""
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
            _log.warning("%s", complaint)

    def begin(self, change: Change) -> None:
        """Begin to compare the patterns of a changed configuration, and give up an earlier comparison that still runs."""
        self.cancel()
        self._task = asyncio.create_task(self._compare(change), name="change")

    async def outcome(self) -> str | None:
        """Wait for the comparison that was begun. Return why its policy is not used; None if it is, or if none was begun."""
        if self._task is None:
            return None
        await asyncio.wait((self._task,))
        return None if self._task.cancelled() else self._task.result()

    def cancel(self) -> None:
        """Give up a comparison that was begun."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Give up a comparison that was begun, and wait until it has ended."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def _compare(self, change: Change) -> str | None:
        try:
            async with self._vm.own_client() as connection:
                await self.look(connection, change.whole)
        except ConfigError as exc:
            problem = told = f"{exc}{change.stays}"
        except (NotQMPError, UpstreamError) as exc:
            told = change.why_not_compared(exc)
            problem = f"{self._vm.name}: {told}"
        else:
            if change.whole.is_strict:
                self._vm.use(change.whole)
                _log.info(POLICY_CHANGED)
            return None
        _log.error("%s", told)
        return problem if change.whole.is_strict else None


@contextlib.asynccontextmanager
async def own_client(
    admit: Callable[[End, Client], object],
    address: Address,
    new_id: Callable[[], str],
    name: str,
    client: Client | None = None,
) -> AsyncIterator[QMPConnection]:
    """Connect to a VM's proxy as a client that no limit keeps out, and negotiate.

    name: the VM's. client: on whose behalf; None for ourselves. Raises HungUpError if QEMU goes, UpstreamError if no socket can
    be made, and NotQMPError as QMPConnection does.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as exc:
        raise UpstreamError(str(address), exc.strerror or str(exc)) from exc
    theirs.setblocking(False)
    admit(SocketEnd(ours), replace(client or process(os.getpid(), os.getuid()), is_proxy=True))
    # On somebody else's behalf it may be any command, such as one that loads gigabytes, so there is no time limit.
    connection = QMPConnection(theirs, str(address), new_id, answer_timeout_s=ANSWER_TIMEOUT_S if client is None else None)
    try:
        await connection.negotiate(name)
        yield connection
    finally:
        connection.close()
