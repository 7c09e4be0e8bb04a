"""Traces of commands while they run, and the audit records that they become."""

from collections.abc import Callable
from dataclasses import replace

from proxy.routing.messages import parse
from proxy.routing.monitor import Clock, Monitor
from proxy.routing.pending import Passed
from proxy.routing.requests import HMPRequest, ModernRequest
from proxy.routing.session import Session
from shim.audit import Action, AuditRecord
from shim.client import Client
from shim.plan_run import Trace
from shim.qmp import JSON, read_reply

__all__ = ["Recorder"]


class Recorder:
    """Open traces and close them."""

    def __init__(self, monitor: Monitor, clock: Clock, announce: Callable[[AuditRecord], str | None] | None = None) -> None:
        self._vm = monitor.vm
        self._clock = clock
        self._announce = announce

    def trace(self, session: Session, request: HMPRequest | ModernRequest) -> Trace:
        """Begin to note what becomes of a command."""
        line = request.line if isinstance(request, HMPRequest) else None
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), session.client_now(), line, execute=request.execute)

    def trace_of_nobody(self) -> Trace:
        """Begin to note what is done without a client."""
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), Client(), None, execute=None)

    def abandoned(self, session: Session, request: HMPRequest | ModernRequest, reason: str) -> AuditRecord:
        """Tell of a command that was never begun."""
        return self.record(self.trace(session, request), session, Action.ABANDONED, reason, None)

    def announce(self, trace: Trace) -> str | None:
        """Put on record that a command is about to be run, if that is wanted. Tells why that cannot be done."""
        return None if self._announce is None else self._announce(trace.begun(self._vm))

    def went_on(self, session: Session, execute: str) -> AuditRecord:
        """Tell what a client sent next whose HMP command had failed, where that has no record of its own."""
        failed = session.take_failed_command()
        trace = Trace(self._clock.utc(), self._clock.monotonic_ns(), session.client_now(), None, execute=execute)
        reason = "sent next by a client whose HMP command had failed"
        return trace.record(
            self._vm,
            Action.WENT_ON,
            reason,
            reply=None,
            client_gone=False,
            now_ns=trace.started_ns,
            after_failure=failed,
        )

    def record(self, trace: Trace, session: Session | None, action: Action, reason: str, reply: JSON | None) -> AuditRecord:
        """Close a trace. reply: as the client gets it, None if it gets none."""
        record = trace.record(
            self._vm,
            action,
            reason,
            reply=reply,
            client_gone=session is not None and session.is_gone(),
            now_ns=self._clock.monotonic_ns(),
            after_failure=None if session is None else session.failed_command,
        )
        if session is not None:
            is_silent = record.is_failure_in_text and not session.is_prompt
            session.note_outcome(record.command_line if is_silent else None)
        return record

    def record_passed(self, passed: Passed, reason: str, line: bytes | None) -> AuditRecord:
        """Close the trace of a command that QEMU ran itself. line: its reply, None if none came."""
        reply = None if line is None else parse(line)
        rehearsed = passed.rehearsed
        if rehearsed is None:
            return self.record(passed.trace, passed.session, passed.action, reason, reply)
        compared = rehearsed if reply is None else rehearsed.compare(read_reply(reply))
        record = self.record(passed.trace, passed.session, Action.OBSERVED, reason, reply)
        return replace(record, rehearsed=compared)
