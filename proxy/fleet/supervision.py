"""One VM of a daemon: an error that ends its proxy is reported, and the VM is started again, so the other VMs go on.

If a VM is the daemon's only one, its error is the daemon's: the exit status informs a service manager, which knows better when
to start again. With several VMs nobody outside would see that one of them is missing, so it is retried here, less and less
often.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from host.errors import ProgramError
from host.net.addresses import Address
from host.net.connecting import backoff_s
from host.settings.config import VMConfig
from proxy.attending.attendance import Attendance
from proxy.change import POLICY_CHANGED
from proxy.entrance.inherited import is_there_once
from proxy.errors import KeptError, first_error
from proxy.fleet.audit_logs import AuditLogs
from proxy.fleet.vm_files import VMFiles, read_contexts
from proxy.needs import describe
from proxy.net.certificates import Contexts
from proxy.relaying.lasting import Shared, Standing
from proxy.relaying.relay import Relay
from proxy.routing.pause import is_at_work
from proxy.vm_proxy import VMProxy
from proxy.waiting import Signal, unless

if TYPE_CHECKING:  # a start is quicker without them
    from proxy.control.status import VMStatus
    from proxy.handover.legacy import Predecessor

__all__ = ["SupervisedVM"]

_log = logging.getLogger(__name__)

# The same limit as for a new audit log; see audit_logs.py.
_READ_WITHIN_S: Final = 2.0


class SupervisedVM:
    """Call `run` or `keep_running` once, and `close` at the end.

    Each attempt has a VMProxy of its own. What a failed attempt knew is lost with it, except for the intents on disk. The audit
    log is opened by the first attempt and kept for the next ones. on_settled: called when it is first known whether the VM can
    be served; calling it again does no harm. standing: what is known of the VM; it carries over from one attempt to the next.
    """

    def __init__(
        self,
        config: VMConfig,
        audit_logs: AuditLogs,
        shared: Shared,
        on_settled: Callable[[], object] = lambda: None,
        standing: Standing | None = None,
    ) -> None:
        self.standing = standing or Standing()
        self._on_settled = on_settled
        self._files = VMFiles(audit_logs)
        self._shared = shared
        self._config = config
        self._proxy: VMProxy | None = None
        # Why the last attempt failed.
        self._problem: str | None = None
        # Why the VM does not yet have its new configuration.
        self.unchanged: str | None = None
        self._stopping = Signal()
        # Whom to ask for the VM before starting it afresh.
        self.taking: Predecessor | None = None
        # The old process still serves it.
        self.is_claiming = False

    @property
    def proxy(self) -> VMProxy | None:
        """The proxy of the current attempt."""
        return self._proxy

    @property
    def config(self) -> VMConfig:
        return self._config if self._proxy is None else self._proxy.config

    @property
    def name(self) -> str:
        return self.config.shown_name

    @property
    def is_connected(self) -> bool:
        """Whether its QEMU is there and clients are served."""
        return self._proxy is not None and self._proxy.is_connected

    @property
    def holds_path(self) -> bool:
        """Whether the socket at the path that is taken over is the proxy's own."""
        return self._proxy is not None and self._proxy.has_begun and self._proxy.front.is_in_place

    @property
    def is_beginning(self) -> bool:
        """Whether it is too early to change the VM: it is stopped instead, and begins again with the new settings."""
        return self.is_claiming or (self._proxy is not None and not self._proxy.has_begun)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def status(self) -> "VMStatus":
        """Return the VM's current status. Call it in the running loop."""
        from proxy.control.status import State, VMStatus  # here, as above
        from proxy.relaying.looking import client_statuses, totals_of

        config, proxy, relay, history = self.config, self._proxy, self._relay, self.standing.history
        state, problem = State.SERVED, self.unchanged
        if (connection := self._connection) is None:
            state, problem = State.WAITED_FOR, self._problem if proxy is None or proxy.problem is None else proxy.problem
        return VMStatus(
            name=self.name,
            upstream=str(config.upstream),
            state=State.ENDING if self.is_stopping else state,
            problem=problem,
            qemu=None if connection is None else str(connection.monitor.version),
            policy=config.policy.kind.value,
            mode=config.policy.mode.value,
            unmatched=() if proxy is None else proxy.policy_check.complaints,
            audit=None if config.audit is None else config.audit.destination,
            clients=() if relay is None else client_statuses(relay),
            running=None if relay is None else relay.slow.running,
            silent_s=None if relay is None else relay.silence.silent_s,
            pause=self.standing.pausing.status(),
            listen=tuple(map(str, config.open_listeners)),
            totals=totals_of(self.standing, relay, self._files.audit),
            outcomes=tuple(history.outcomes.items()),
            deprecated=tuple(history.deprecated.items()),
            failures=history.failures,
            audit_trouble=None if self._files.audit is None else self._files.audit.trouble,
        )

    @property
    def _connection(self) -> Attendance | None:
        return self._proxy.connection if self._proxy is not None and self._proxy.is_connected else None

    @property
    def _relay(self) -> Relay | None:
        return None if self._connection is None else self._connection.relay

    @property
    def is_at_work(self) -> bool:
        """Whether a command that changes snapshots is running."""
        return self._relay is not None and is_at_work(self._relay.clients.dispatcher.plans.works)

    def disconnect(self, number: int) -> None:
        """Disconnect the client with that number, which `status` has just reported."""
        assert self._relay is not None, "it has clients"
        clients = self._relay.clients
        for session in [session for session, own in clients.numbers.items() if own == number]:
            clients.disconnect(session)

    async def close(self) -> None:
        """Release the audit log."""
        await self._files.close()

    def stop(self) -> None:
        """End in order."""
        self._stopping.set()
        if self._proxy is not None:
            self._proxy.stop()

    async def change(self, config: VMConfig, contexts: Contexts | None = None) -> None:
        """Apply another configuration without a new connection to QEMU; see VMProxy.change.

        Raises AuditError, ListenError or TLSError; everything is then as it was.
        """
        if self._proxy is None:
            _log.info("%s", describe(self._config, config) or POLICY_CHANGED)
            self._config = config
            self._files.change()
            return
        if contexts is None:
            contexts = await read_contexts(config, _READ_WITHIN_S)
        async with self._files.exchanged(config.audit) as audit:
            if self._proxy is None:  # the attempt has ended since; the next one begins with this
                self._config = config
            elif not self._proxy.has_begun:  # the next attempt has begun already
                self._proxy.config = config
            else:
                self._proxy.change(config, audit, contexts)

    def release(self, addresses: Collection[Address]) -> None:
        """Stop accepting clients at these addresses, which another VM is to have. `change` follows."""
        if self._proxy is not None and self._proxy.has_begun:
            self._proxy.front.release(addresses)

    async def policy_checked(self) -> str | None:
        """Wait until a changed policy has been compared with the disks. Return why it is not in use, None if it is."""
        return None if self._proxy is None else await self._proxy.policy_check.outcome()

    def use_certificates(self, contexts: Contexts) -> None:
        """Use these TLS contexts from now on. A later attempt, or one that is about to read the files, reads them itself."""
        if self._proxy is not None:
            self._proxy.certificates.contexts = contexts
        else:
            self._files.change()

    async def run(self) -> None:
        """Serve. Raises what ends the proxy, and AuditError or TLSError for a file that cannot be opened."""
        if self._stopping.is_set():
            return
        contexts = await unless(self._stopping, self._files.open(lambda: self._config, self._tell_late))
        if contexts is None or self._stopping.is_set():
            return
        self._problem, audit = None, self._files.audit
        proxy = self._proxy = VMProxy(self._config, audit, self._shared, self._on_settled, self.standing, contexts)
        try:
            await (proxy.run() if self.taking is None else self._take_over(proxy, self.taking))
        finally:
            # What SIGHUP changed must survive the next attempt.
            self._config, self._proxy = proxy.config, None

    async def _take_over(self, proxy: VMProxy, taking: "Predecessor") -> None:
        """Serve what another process hands over; start afresh if it hands over nothing."""

        async def claim() -> None:
            proxy.legacy = await taking.claim(self._config, self._on_settled)

        while True:
            self._problem = "the old process still serves it"
            self.is_claiming = True
            try:
                await unless(self._stopping, claim())
                self.is_claiming = False
                if self._stopping.is_set():
                    return
                self._problem = None
                await proxy.run()
                return
            except KeptError as exc:
                _log.debug("%s", exc)
            finally:
                if proxy.legacy is not None:
                    await proxy.legacy.close(sys.exception())

    def _tell_late(self) -> None:
        """Say what is waited for; the process can be ready without it."""
        self._problem = "its log or its TLS files cannot be opened yet: their disk is stuck"
        _log.error("%s", self._problem)
        self._on_settled()

    async def keep_running(self) -> None:
        """Serve, and start again after each error, until `stop` is called or the proxy ends by itself.

        A QEMU that is not there is waited for, whatever the file says: of several VMs some are always off. The pauses grow from
        0.05 s to 2 s. Most of what is inherited can be opened only once: by the next attempt the descriptor's number may belong
        to another file, so such a VM is given up at its first error.
        """
        if not self._config.wait:  # a fleet has set it already, and a copy for each of a thousand VMs is a lot
            self._config = replace(self._config, wait=True)
        has_one_attempt = any(map(is_there_once, (self._config.upstream, *self._config.listeners)))
        told = ""
        delays_s: Iterator[float] | None = None
        while True:
            try:
                await self.run()
            except Exception as exc:  # of whatever kind: it concerns this VM alone
                error = first_error(exc)
                self._tell(error, is_new=repr(error) != told)
                told = repr(error)
                self._on_settled()
            else:
                return
            if has_one_attempt:
                _log.error("it is not served any more; what was handed to the process cannot be opened again")
                return
            with contextlib.suppress(TimeoutError):
                delays_s = delays_s or backoff_s()
                async with asyncio.timeout(next(delays_s)):
                    await self._stopping.wait()

    def _tell(self, error: BaseException, *, is_new: bool) -> None:
        """Log an error loudly once; one that recurs every 2 s all night is shown with `--verbose` only."""
        self._problem = str(error) or repr(error)
        level = logging.ERROR if is_new else logging.DEBUG
        if isinstance(error, ProgramError):
            serves = self.taking is not None and self.taking.serves(self.name)
            meanwhile = "the old process goes on with it meanwhile, and this one tries again" if serves else "trying again"
            _log.log(level, "%s; %s", error, meanwhile)
        else:
            _log.log(level, "unexpected error, beginning again: %r", error, exc_info=error if is_new else None)
