"""Traces of HMP commands while they run, and the audit records that they become."""

from dataclasses import replace

from proxy.answers import parse
from proxy.monitor import Clock, Monitor
from proxy.owed import Passed
from proxy.session import HMPRequest, Session
from shim.audit import Action, AuditRecord
from shim.client import Client
from shim.qmp import JSON, read_reply
from shim.rewrite import Trace

__all__ = ["Recorder"]


class Recorder:
    """Open traces and close them."""

    def __init__(self, monitor: Monitor, clock: Clock) -> None:
        self._vm = monitor.vm
        self._clock = clock

    def trace(self, session: Session, request: HMPRequest) -> Trace:
        """Begin to note what becomes of a command."""
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), session.client, request.command_line)

    def trace_of_nobody(self) -> Trace:
        """Begin to note what is done without a client."""
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), Client(), None)

    def record(
        self, trace: Trace, session: Session | None, action: Action, reason: str, reply: JSON | None
    ) -> AuditRecord:
        """Close a trace. reply: as the client gets it, None if it gets none."""
        return trace.record(
            self._vm,
            action,
            reason,
            reply=reply,
            client_gone=session is not None and session.is_gone(),
            now_ns=self._clock.monotonic_ns(),
        )

    def record_passed(self, passed: Passed, reason: str, line: bytes | None) -> AuditRecord:
        """Close the trace of a command that QEMU ran itself. line: its reply, None if none came."""
        reply = None if line is None else parse(line)
        rehearsed = passed.rehearsed
        if rehearsed is None:
            return self.record(passed.trace, passed.session, Action.PASSED, reason, reply)
        compared = rehearsed if reply is None else rehearsed.compare(read_reply(reply))
        record = self.record(passed.trace, passed.session, Action.OBSERVED, reason, reply)
        return replace(record, rehearsed=compared)
