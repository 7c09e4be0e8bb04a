"""The process: what signals do to its VMs, and the configuration file, which is read again while they are served."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from host.settings.config import VMConfig
from proxy.beside import in_time, much_is_made
from proxy.command_line.invocations import ServeInvocation
from proxy.errors import ListenError, UpgradeError
from proxy.fleet.fleet import GIVING, Fleet
from proxy.fleet.service_manager import ServiceManager
from proxy.process.handing_over import LEFT, HandingOver
from proxy.process.reading import read_certificates, read_file, wish_of
from proxy.process.start_line import start_line
from proxy.waiting import Signal

if TYPE_CHECKING:  # most processes are not asked, and find no VMs
    from host.configuration.discover import Template
    from proxy.control.status import PatternStatus
    from proxy.discovery.discovery import Discovery
    from proxy.discovery.sockets import Sockets
    from proxy.process.operation import Operation

__all__ = ["Daemon"]

_log = logging.getLogger(__name__)

_ABOUT_TO_END: Final = "the proxy is about to end"
# Reading a file with 1,000 VMs takes some seconds; what takes this long is stuck.
_READ_WITHIN_S: Final = 60.0
_STUCK: Final = "the configuration or its TLS files cannot be read: a disk is stuck; the running configuration stays"


class Daemon:
    """Serve until SIGINT or SIGTERM; a second one ends the process at once. SIGHUP reads the configuration again and reopens
    the logs. SIGUSR1 writes the status to standard error, in the format of the log.

    A QEMU that is not there is waited for if its VM comes from a file, and a VM that cannot begin, or whose proxy fails, is
    retried while the others go on. An error ends the process if its VM is described by options, or is the only VM and `strict`.
    """

    def __init__(self, invocation: ServeInvocation) -> None:
        self._config_path = invocation.config_path
        self._invocation = invocation
        # Not None while VMs are discovered.
        self._discovery: Discovery | None = None
        self._discovering: asyncio.Task[None] | None = None
        # What was found before the VMs are discovered.
        self._sockets: Sockets | None = None
        self._fleet = Fleet(invocation.vms, forgives=invocation.forgives)
        self._is_stopping = False
        # The service manager was told that the process is ready.
        self._is_ready = False
        # How many reloads were requested, and up to which of them the configuration was read.
        self._requested = self._read_for = 0
        self._mistakes: Sequence[str] = ()
        self._reading = asyncio.Lock()
        self._reloading: set[asyncio.Task[Sequence[str]]] = set()
        self._manager = ServiceManager(os.environ)
        self.exit_status = 0
        self._handing_over = HandingOver(invocation, self._fleet, self._manager)

    async def run(self) -> None:
        """Serve. Raises what ends the process."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._manager.close)
            stack.callback(self._fleet.audit_logs.losses.tell_end)
            if (left := await self._handing_over.begin(stack, self._find, lambda: self._is_stopping)) is None:
                self._open(stack)
            else:
                stack.push_async_callback(_cancel, asyncio.create_task(self._open_after(left, stack), name="open"))
            stack.push_async_callback(self._discover, (), ())
            await self._discover(self._invocation.templates, self._invocation.vms)
            stack.push_async_callback(self._cancel_reloading)
            stack.push_async_callback(_cancel, asyncio.create_task(self._announce(), name="announce"))
            await self._serve()

    def _open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the process's own sockets. Raises ListenError."""
        if (operation := self._open_operation()) is not None:
            stack.push_async_callback(operation.close)
            operation.start()
        self._handing_over.open(stack)

    async def _open_after(self, left: Signal, stack: contextlib.AsyncExitStack) -> None:
        """Open the sockets when the process that is replaced has closed its own."""
        await left.wait()
        try:
            self._open(stack)
        except ListenError as exc:
            _log.error("%s", exc)

    async def _cancel_reloading(self) -> None:
        for task in list(self._reloading):
            await _cancel(task)

    def _open_operation(self) -> "Operation | None":
        """Open the sockets at which the process is asked. Raises ListenError."""
        invocation = self._invocation
        if invocation.control is invocation.admin is invocation.metrics is None:
            return None
        from proxy.process.operation import Operation

        return Operation(invocation, self._fleet, self.reload, self._patterns, self.upgrade)

    def _patterns(self) -> Sequence["PatternStatus"]:
        return () if self._discovery is None else self._discovery.patterns

    def _show_status(self) -> None:
        """Write the status where the log goes, for those who have no control socket."""
        from proxy.control.replacement import lines_of, members_of  # here, because a start is quicker without them
        from proxy.fleet.successor import known_vms, replacement_of

        vms, replacement = [vm.status() for vm in known_vms(self._fleet)], replacement_of(self._fleet)
        if self._invocation.logs_json:
            from proxy.control.status import process_members  # here, as above

            members = process_members(vms, self._patterns(), os.getpid(), members_of(replacement))
            _log.info("status", extra={"members": members})
            return
        from proxy.control.table import as_table  # here, as above

        sys.stderr.write(as_table(vms, patterns=self._patterns(), notes=lines_of(replacement)) + "\n")
        sys.stderr.flush()

    async def _announce(self) -> None:
        """Tell the service manager that the process is ready, once it is known of each VM whether it is served."""
        self._manager.keep_watchdog()
        if self._discovery is not None:
            await self._discovery.has_looked.wait()
        await self._fleet.settled.wait()
        gc.freeze()  # see beside.py
        if not self._is_stopping:
            self._manager.ready(self._fleet.summary)
            self._is_ready = True
            if vms := self._fleet.vms:  # an only VM may have ended already
                _log.info("%s", start_line([vm.config for vm in vms], self._fleet.summary))
            if self._fleet.taking is not None:
                await self._fleet.taking.end_others(self._fleet.wanted)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hear_hang_up)
        loop.add_signal_handler(signal.SIGUSR1, self._show_status)
        await self._fleet.run()

    def _stop(self) -> None:
        if self._is_stopping:
            # Whoever asks twice does not want to wait. Commands without an answer are recorded on the way out. This is a
            # callback of the loop, which lets KeyboardInterrupt through: it leaves asyncio.run() after all tasks were
            # cancelled.
            raise KeyboardInterrupt
        self._is_stopping = True
        self._manager.stopping()
        self._fleet.stop()

    def _hear_hang_up(self) -> None:
        self._request_reload()

    async def reload(self) -> Sequence[str]:
        """Read the configuration again. Return its mistakes and what could not be changed; the log says so, too.

        The reload goes on if the caller is cancelled. Calls during a reading share one more reading, which begins after it: so
        the latest contents of the file count, whoever wrote them.
        """
        return await asyncio.shield(self._request_reload())

    async def upgrade(self, formats: object, *, ends_others: bool) -> Mapping[str, str]:
        """Leave all VMs to the service manager, and end, so that it starts the program again. See Storing.leave."""
        async with self._reading:
            if self._is_stopping:
                raise UpgradeError("the proxy", _ABOUT_TO_END)
            why_not = await self._handing_over.leave(formats, ends_others=ends_others)
            if not why_not:
                self.exit_status, self._is_stopping = LEFT, True
                self._fleet.stop()
        return why_not

    def _request_reload(self) -> "asyncio.Task[Sequence[str]]":
        """Start a reload. Reopen the logs first, whatever the file says: log rotation waits for nothing else."""
        self._fleet.audit_logs.reopen()
        self._requested += 1
        task = asyncio.create_task(self._reload(self._requested), name="reload")
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)
        return task

    async def _reload(self, number: int) -> Sequence[str]:
        async with self._reading:
            if self._is_stopping:
                return (_ABOUT_TO_END,)
            if self._fleet.successor is not None:
                _log.info(GIVING)
                return (GIVING,)
            if self._read_for < number:
                self._read_for = self._requested
                # Report each reload right before it begins, and its end right after: systemd takes READY=1 as the end of the
                # reload that it asked for only if RELOADING=1 came after the request (org.freedesktop.systemd1(5),
                # reload-notify).
                if self._is_ready:
                    self._manager.reloading()
                try:
                    with much_is_made():
                        self._mistakes = await self._read_again()
                except TimeoutError:
                    self._mistakes = (_STUCK,)
                    _log.error("%s", _STUCK)
                except Exception as exc:  # of whatever kind: the VMs are served, and the manager waits for the end of this
                    self._mistakes = (f"unexpected error: {exc!r}",)
                    _log.exception("the configuration cannot be read again")
                if self._is_ready and not self._is_stopping:
                    self._manager.ready(self._fleet.summary)
        return self._mistakes

    async def _read_again(self) -> Sequence[str]:
        """Read the files in a thread, and have the fleet follow. A file with mistakes leaves everything as it is.

        Certificates are read again as well, even if there is no configuration file.
        """
        before, forgives = dict(self._fleet.wanted), self._fleet.forgives
        if self._config_path is None:
            return await self._fleet.want(await in_time(partial(read_certificates, before), _READ_WITHIN_S))
        file = await in_time(partial(read_file, self._config_path), _READ_WITHIN_S)
        for mistake in file.mistakes:
            _log.error("%s; the running configuration stays", mistake)
        if file.mistakes:
            return [str(mistake) for mistake in file.mistakes]
        await self._discover(file.templates, file.vms)
        vms = file.vms if self._discovery is None else await self._discovery.look()
        wish = await in_time(partial(wish_of, vms, before, forgives=forgives), _READ_WITHIN_S)
        if self._discovery is not None:
            wish = replace(wish, why_gone="it is neither in the file nor found")
        problems = await self._fleet.want(wish)
        # Only now: if VMs are no longer discovered, the process may end unless the file has brought others.
        self._fleet.outlast_vms(self._discovery is not None)
        return problems

    async def _find(self) -> Sequence[VMConfig]:
        """Look once for the VMs that will be discovered. If their folders are on a disk that is stuck, return none."""
        if not (templates := self._invocation.templates):
            return ()
        from proxy.discovery.sockets import Connected, Sockets  # here, as in `_discover`

        sockets, now_s = Sockets(self._invocation.own_paths), asyncio.get_running_loop().time()
        try:
            found = await in_time(partial(sockets.look, templates, self._invocation.vms, Connected(), now_s), _READ_WITHIN_S)
        except TimeoutError:
            return ()
        self._sockets = sockets
        return found

    async def _discover(self, templates: Sequence["Template"], static: Sequence[VMConfig]) -> None:
        """Discover VMs by these templates from now on, beside the VMs that the file names."""
        if templates:
            self._fleet.outlast_vms(True)
        if templates and self._discovery is None:
            from proxy.discovery.discovery import Discovery  # here, because it is imported already, or not needed
            from proxy.discovery.sockets import Sockets

            sockets, self._sockets = self._sockets or Sockets(self._invocation.own_paths), None
            self._discovery = Discovery(self._fleet, self._reading, sockets)
            self._discovering = asyncio.create_task(self._discovery.run(), name="discovery")
        if self._discovery is None or self._discovering is None:
            return
        self._discovery.use(templates, static)
        if not templates:
            self._discovering.cancel()
            await asyncio.wait((self._discovering,))
            self._discovery.close()
            self._discovery = self._discovering = None


async def _cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait((task,))
