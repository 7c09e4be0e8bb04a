"""What the prompt records: each HMP command, each of QMP's own snapshot commands, and what it recovered."""

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
    """Opens traces, and closes them with a record.

    vm_name: the VM's in the audit. complain: called when a record cannot be written; the command goes on.
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
        """Begin the trace of a command. line: None if it is not HMP. execute: None if nobody typed it."""
        now = datetime.now(UTC), time.monotonic_ns()
        return Trace(*now, self._client, line, execute=execute, identify=self._identify, is_prompt=True)

    @property
    def announces(self) -> bool:
        """Return whether a command must be on record before it runs."""
        return self._audit_log is not None and self._audit_log.refuses

    def announce(self, trace: Trace) -> str | None:
        """Put on record that a command is about to be run; return why that failed, None if it did not."""
        assert self._audit_log is not None, "see announces"
        return self._audit_log.write_ahead(trace.begun(self.vm_name))

    def record(
        self, trace: Trace, action: Action, reason: str, reply: JSON | None, rehearsed: Rehearsed | None = None
    ) -> AuditRecord:
        """Close a trace: write its record, and return it."""
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
        """If the context is lost or cancelled, record that the outcome is unknown. action: for a command not passed to QEMU."""
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
    """Says when events happened, on our clock. QEMU's own clock says how long after the STOP a RESUME came."""

    def __init__(self) -> None:
        # When the VM last stopped: on QEMU's clock, and on ours.
        self._last_stop: tuple[float | None, int] | None = None

    def moment(self, event: Event) -> int:
        """Return when a STOP or RESUME happened (time.monotonic_ns). Call this for each of them, in order."""
        now_ns = time.monotonic_ns()
        stop, self._last_stop = self._last_stop, (event.time_s, now_ns) if event.name == "STOP" else None
        if stop is None or stop[0] is None or event.time_s is None:
            return now_ns
        return stop[1] + max(0, round((event.time_s - stop[0]) * 1_000_000_000))
