"""One VM of a daemon: whatever ends its proxy with an error is shown, and it is begun again, so the other VMs go on.

Where a VM is the daemon's only one, its error is the daemon's: the exit status tells a service manager, which knows better when
to start again. With several VMs nobody outside sees that one of them is missing, so it is tried again here, less and less
often.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from host.config import VMConfig
from host.connecting import backoff_s
from host.errors import ProgramError
from proxy.fleet.audit_logs import AuditLogs
from proxy.net.inherited import is_there_once
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.lasting import Shared, Standing
from proxy.relaying.relay import Relay
from proxy.routing.pause import is_at_work
from proxy.vm_proxy import VMProxy
from proxy.waiting import Signal, unless

if TYPE_CHECKING:  # a start is quicker without it
    from proxy.control.status import VMStatus

__all__ = ["SupervisedVM", "first_error"]

_log = logging.getLogger(__name__)


class SupervisedVM:
    """Call `run` or `keep_running` once, and `close` at the end.

    Each attempt has a VMProxy of its own. What a failed one knew goes with it, and only the intents on disk stay. The audit log
    is opened with the first attempt that comes so far, and kept for the next ones.
    on_settled: called when it is known for the first time whether it can be served; another time does no harm.
    standing: what is known of the VM; it goes on from one attempt to the next.
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
        self._audit_logs = audit_logs
        self._audit: AuditWriter | None = None
        self._shared = shared
        self._config = config
        self._proxy: VMProxy | None = None
        # Why the last attempt has failed.
        self._problem: str | None = None
        self._stopping = Signal()

    @property
    def config(self) -> VMConfig:
        return self._config if self._proxy is None else self._proxy.config

    @property
    def name(self) -> str:
        return self._config.shown_name

    @property
    def is_connected(self) -> bool:
        """Whether its QEMU is there, and clients are served."""
        return self._proxy is not None and self._proxy.is_connected

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    def status(self) -> "VMStatus":
        """Return how it is now. Call it in the running loop."""
        from proxy.control.status import State, VMStatus  # here, as above
        from proxy.relaying.looking import client_statuses, totals_of

        config, proxy, relay, history = self.config, self._proxy, self._relay, self.standing.history
        state, problem = State.SERVED, None
        if relay is None:
            state, problem = State.WAITED_FOR, self._problem if proxy is None or proxy.problem is None else proxy.problem
        return VMStatus(
            name=self.name,
            upstream=str(config.upstream),
            state=State.ENDING if self.is_stopping else state,
            problem=problem,
            qemu=None if relay is None else str(relay.monitor.version),
            policy=config.policy.kind.value,
            mode=config.policy.mode.value,
            audit=None if config.audit is None else config.audit.destination,
            clients=() if relay is None else client_statuses(relay),
            running=None if relay is None else relay.slow.running,
            pause=self.standing.pausing.status(),
            totals=totals_of(self.standing, relay, 0 if self._audit is None else self._audit.lost_count),
            outcomes=tuple(history.outcomes.items()),
            deprecated=tuple(history.deprecated.items()),
            failures=history.failures,
        )

    @property
    def _relay(self) -> Relay | None:
        return self._proxy.relay if self._proxy is not None and self._proxy.is_connected else None

    @property
    def is_at_work(self) -> bool:
        """Whether a command runs that changes snapshots."""
        return self._relay is not None and is_at_work(self._relay.clients.dispatcher.plans.works)

    def disconnect(self, number: int) -> None:
        """Disconnect the client of that number, which `status` has told just now."""
        assert self._relay is not None, "it has clients"
        clients = self._relay.clients
        for session in [session for session, own in clients.numbers.items() if own == number]:
            clients.disconnect(session)

    async def close(self) -> None:
        """Let go of the audit log."""
        if self._audit is not None:
            assert self._config.audit is not None, "it was opened for that"
            await self._audit_logs.release(self._config.audit)

    def stop(self) -> None:
        """End in order."""
        self._stopping.set()
        if self._proxy is not None:
            self._proxy.stop()

    def change(self, config: VMConfig) -> None:
        """Take the policy and the rules from another configuration."""
        if self._proxy is not None:
            self._proxy.change(config)
        else:
            self._config = self._config.read_again(config)
            _log.warning("%s: the policy and the rules were read again", self.name)

    def read_certificates(self) -> None:
        """Read the files of TLS again. A proxy that begins later reads them then."""
        if self._proxy is not None:
            self._proxy.certificates.reload()

    async def run(self) -> None:
        """Serve. Raises what ends the proxy, and AuditError if the log cannot be opened."""
        if self._stopping.is_set():
            return
        if self._audit is None:
            await unless(self._stopping, self._acquire_log())
            if self._stopping.is_set():
                return
        proxy = self._proxy = VMProxy(self._config, self._audit, self._shared, self._on_settled, self.standing)
        try:
            await proxy.run()
        finally:
            # What SIGHUP changed must not be undone when the VM is begun again.
            self._config, self._proxy = proxy.config, None

    async def _acquire_log(self) -> None:
        if self._config.audit is not None:
            self._audit = await self._audit_logs.acquire(self._config.audit)

    async def keep_running(self) -> None:
        """Serve, and begin again after each error, until `stop` is called or the proxy ends by itself.

        A QEMU that is not there is waited for, whatever the file says: of several VMs some are always off. The pauses grow
        from 0.05 s to 2 s. Most of what is inherited is there once: a descriptor's number may be another file's by the next
        attempt, so such a VM is given up at its first error.
        """
        self._config = replace(self._config, wait=True)
        has_one_attempt = any(map(is_there_once, (self._config.upstream, *self._config.listeners)))
        told = ""
        delays_s = backoff_s()
        while True:
            try:
                await self.run()
            except Exception as exc:  # of whatever kind: it is this VM's alone
                error = first_error(exc)
                self._tell(error, is_new=repr(error) != told)
                told = repr(error)
                self._on_settled()
            else:
                return
            if has_one_attempt:
                _log.error("%s: it is not served any more; what was handed to the process cannot be opened again", self.name)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(delays_s)):
                    await self._stopping.wait()

    def _tell(self, error: BaseException, *, is_new: bool) -> None:
        """Log an error loudly once; one that comes back every 2 s all night shows with `--verbose` only."""
        self._problem = str(error) or repr(error)
        level = logging.ERROR if is_new else logging.INFO
        if isinstance(error, ProgramError):
            _log.log(level, "%s: %s; trying again", self.name, error)
        else:
            _log.log(level, "%s: unexpected error, beginning again: %r", self.name, error, exc_info=error if is_new else None)


# A TaskGroup raises groups in groups; a person is to see one line.
def first_error(error: BaseException) -> BaseException:
    """Return the error that a person is to see: one that has a text of its own, if there is one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    told, others = error.split(ProgramError)
    return first_error((told or others or error).exceptions[0])
