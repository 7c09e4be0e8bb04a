"""Who had the VMs before this process, and who is to have them after it: another process, or the service manager.

What that needs is imported at the start if it may be needed: by the time it is, the installed package may be the new one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from host.settings.config import VMConfig
from proxy.command_line.invocations import ServeInvocation
from proxy.entrance.inherited import stored_descriptors
from proxy.errors import HandOverError, UpgradeError
from proxy.fleet.fleet import GIVING, Fleet
from proxy.fleet.service_manager import ServiceManager
from proxy.fleet.wish import by_key
from proxy.preload import preload_in_loop
from proxy.waiting import Signal
from shim.printable import enumerated

if TYPE_CHECKING:  # most processes are not replaced
    from proxy.handover.giver import Giver
    from proxy.handover.storing import Storing

__all__ = ["LEFT", "HandingOver"]

_log = logging.getLogger(__name__)

# The exit status by which the process asks to be started again; it is in the units' RestartForceExitStatus=.
LEFT: Final = 8
_UNUSABLE: Final = "the files named above cannot be used here, so no VM is taken over, and it goes on as before"
_NO_MANAGER: Final = "no service manager has started it (NOTIFY_SOCKET)"


class HandingOver:
    """Call `begin` before the VMs are served, and `open` when the process opens its own sockets."""

    def __init__(self, invocation: ServeInvocation, fleet: Fleet, manager: ServiceManager) -> None:
        self._fleet, self._manager = fleet, manager
        self._replace_path = invocation.replace_path
        # Not None if another process can take over.
        self._make_giver: Callable[[], Giver] | None = None
        # Not None if the service manager can keep the VMs.
        self._storing: Storing | None = None
        self._is_leaving = False
        if (path := invocation.replaceable_path) is not None:
            from proxy.handover import giver

            may_give = lambda: not self._is_leaving  # noqa: E731
            self._make_giver = partial(giver.Giver, path, fleet, manager.main_process, may_give)
        if manager.is_there and invocation.admin is not None:
            from proxy.handover import storing

            self._storing = storing.Storing(fleet, manager)

    async def begin(
        self,
        stack: contextlib.AsyncExitStack,
        find: Callable[[], Awaitable[Sequence[VMConfig]]],
        is_stopping: Callable[[], bool],
    ) -> Signal | None:
        """Find the VMs of the previous process, after importing all that serving needs. Raises HandOverError.

        Return a signal that is set when that process has gone; None if there is none. find: returns the VMs that come by
        themselves. is_stopping: returns, at the end, whether this process was told to end.
        """
        if self._replace_path is not None:
            return await self._take_over(stack, self._replace_path, await find())
        if stored := stored_descriptors():
            self._take_out(stack, stored, is_stopping)
        return None

    async def _take_over(self, stack: contextlib.AsyncExitStack, path: str, found: Sequence[VMConfig]) -> Signal:
        from proxy.handover.taking import take_from
        from proxy.process.readiness import unusable_files

        vms = by_key((*self._fleet.wanted.values(), *found), self._fleet.wanted, forgives=self._fleet.forgives)
        preload_in_loop(tuple(vms.values()))
        stack.push_async_callback(self._fleet.audit_logs.close)
        if problems := await unusable_files(vms, self._fleet.audit_logs):
            for names, problem in problems:
                _log.error("files of %s: %s", enumerated(names), problem)
            raise HandOverError(path, _UNUSABLE, problems[0][1].exit_status)
        self._fleet.taking = taking = await take_from(path, self._fleet.audit_logs.losses)
        stack.push_async_callback(taking.close)
        return taking.finished

    def _take_out(self, stack: contextlib.AsyncExitStack, numbers: Mapping[str, int], is_stopping: Callable[[], bool]) -> None:
        from proxy.handover.stored import Stored

        preload_in_loop(tuple(self._fleet.wanted.values()))
        self._fleet.taking = stored = Stored(numbers, self._manager, self._fleet.audit_logs.losses)

        async def close() -> None:
            # A process that fails is started again, and finds what this one has not taken out.
            if is_stopping():
                await stored.end_others(())
            stored.close()

        stack.push_async_callback(close)

    def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Let another process take over. Raises ListenError."""
        if self._make_giver is not None:
            giver = self._make_giver()
            stack.push_async_callback(giver.close)
            giver.start()

    async def leave(self, formats: object, *, ends_others: bool) -> Mapping[str, str]:
        """Leave all VMs to the service manager; afterwards the process must end with status LEFT. See Storing.leave.

        The caller must keep the file from being read meanwhile. No other process can take over meanwhile.
        """
        if self._storing is None:
            raise UpgradeError("the proxy", _NO_MANAGER)
        # So that the fleet does not end with the last VM that cannot be handed over.
        was_outlasting = self._fleet.outlast_vms(True)
        self._is_leaving = True
        try:
            await asyncio.sleep(0)  # for a process that has connected in this turn of the loop
            if self._fleet.successor is not None:
                raise UpgradeError("the proxy", GIVING)
            return await self._storing.leave(formats, ends_others=ends_others)
        finally:
            self._is_leaving = False
            self._fleet.outlast_vms(was_outlasting)
