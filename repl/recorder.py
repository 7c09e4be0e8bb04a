"""What the prompt puts on record: each HMP command, each snapshot command of QMP's own, and what it looked after."""

import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from host.audit_log.log import AuditLog
from host.errors import AuditError
from repl.errors import LostError
from repl.link import Event
from shim.client import Client
from shim.decisions.plan_run import PlanRun
from shim.hmp.line import HMPLine
from shim.qmp import JSON
from shim.records.audit import Action, AuditRecord, Rehearsed, Trace
from shim.records.identity import unidentified

__all__ = ["EventClock", "Recorder"]

_LOST = "the connection to QEMU was lost, so the outcome is not known"
_LEFT = "nobody waited for its end, so the outcome is not known"


class Recorder:
    """Open traces and close them.

    vm_name: the VM's in the audit. complain: told when a record cannot be written; the command goes on.
    """

    def __init__(
        self, client: Client, audit_log: AuditLog | None, complain: Callable[[AuditError], None], *, vm_name: str
    ) -> None:
        self.vm_name = vm_name
        self._client = client
        self._audit_log = audit_log
        self._complain = complain
        self._identify = unidentified if audit_log is None else audit_log.identify(client)

    def trace(self, line: HMPLine | None, *, execute: str | None = "human-monitor-command") -> Trace:
        """Begin to note what becomes of a command. line: None for what is no HMP; execute: None for what nobody typed."""
        now = datetime.now(UTC), time.monotonic_ns()
        return Trace(*now, self._client, line, execute=execute, identify=self._identify, is_prompt=True)

    @property
    def announces(self) -> bool:
        """Tell whether a command is to be on record before it is run."""
        return self._audit_log is not None and self._audit_log.refuses

    def announce(self, trace: Trace) -> str | None:
        """Put on record that a command is about to be run. Tells why that cannot be done."""
        assert self._audit_log is not None, "see announces"
        return self._audit_log.write_ahead(trace.begun(self.vm_name))

    def record(
        self, trace: Trace, action: Action, reason: str, reply: JSON | None, rehearsed: Rehearsed | None = None
    ) -> AuditRecord:
        """Close a trace."""
        now_ns = time.monotonic_ns()
        record = trace.record(self.vm_name, action, reason, reply=reply, client_gone=False, now_ns=now_ns, rehearsed=rehearsed)
        if self._audit_log is not None:
            try:
                self._audit_log.write(record)
            except AuditError as exc:
                self._complain(exc)
        return record

    @contextmanager
    def on_record(self, trace: Trace, run: PlanRun | None = None, *, action: Action = Action.REWRITTEN) -> Iterator[None]:
        """Put on record that the outcome of a command is not known. action: what it was, unless QEMU had got it."""
        try:
            yield
        except (LostError, CancelledError) as exc:
            reason = _LOST if isinstance(exc, LostError) else _LEFT
            passing = None if run is None else run.passing
            if passing is None:
                self.record(trace, action, reason, None)
            else:
                self.record(trace, passing.action, reason, None, passing.rehearsed)
            raise


class EventClock:
    """Tells when events happened, in our nanoseconds: QEMU's own clock knows how long behind the STOP a RESUME came."""

    def __init__(self) -> None:
        # When the VM stopped: on QEMU's clock, and on ours.
        self._last_stop: tuple[float | None, int] | None = None

    def moment(self, event: Event) -> int:
        """Return when a STOP or RESUME happened. Call it for each of them, in order."""
        now_ns = time.monotonic_ns()
        stop, self._last_stop = self._last_stop, (event.time_s, now_ns) if event.name == "STOP" else None
        if stop is None or stop[0] is None or event.time_s is None:
            return now_ns
        return stop[1] + max(0, round((event.time_s - stop[0]) * 1_000_000_000))
