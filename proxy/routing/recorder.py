"""Make audit records from the traces of commands.

A trace begins when its command begins (plan_maker.py), not when the command is read, so a record's duration is how long the
client waited for QEMU and not for other clients. At that moment the client is looked up once more, because a process may have
become another program since it connected.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from proxy.qmp_json.messages import generic_error, with_id
from proxy.routing.vm_history import History
from proxy.sessions.monitor import Clock, Monitor
from proxy.sessions.requests import HMPRequest, ModernRequest
from proxy.sessions.session import Session
from shim.client import AT_START, Client
from shim.decisions.decision import Result
from shim.hmp.line import HMPLine
from shim.plans.snapshot_plans import HALF_LOADED
from shim.qmp import JSON, ErrorReply, ReturnReply
from shim.records.audit import Action, AuditRecord, Trace
from shim.records.identity import Identify, unidentified

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Verdict

__all__ = ["Recorder"]

_Look: TypeAlias = Callable[[Session, Client], Identify]


class Recorder:
    """Make records of what was done, and of what was not. history: the VM's; records are noted in it, except housekeeping."""

    def __init__(self, monitor: Monitor, clock: Clock, *, announces: bool = False, history: History | None = None) -> None:
        self.vm = monitor.vm
        self._clock = clock
        # Whether a command must be on record before it runs: with `--audit-failure refuse` nothing may run that is not.
        self.announces = announces
        self._history = history or History()
        # Begins to look up which tool a client is part of.
        self.identify: _Look = _nobody_looks

    def trace_of_nobody(self) -> Trace:
        """Begin the trace of what is done without a client."""
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), Client(), None, execute=None)

    def trace(self, session: Session, line: HMPLine | None, execute: str) -> Trace:
        """Begin the trace of a client's command, with the client as it is at this moment."""
        client = session.look_again(session.client)
        return Trace(
            self._clock.utc(),
            self._clock.monotonic_ns(),
            client,
            line,
            execute=execute,
            identify=self.identify(session, client),
            is_prompt=session.is_prompt,
        )

    def abandoned(self, session: Session, request: HMPRequest | ModernRequest, reason: str) -> AuditRecord:
        """Return the record of a command that was never begun."""
        line = request.line if isinstance(request, HMPRequest) else None
        trace = self.trace(session, line, request.execute)
        return self.record(trace, session, Result(None, Action.ABANDONED, reason), None)

    def denied(self, session: Session, request: HMPRequest | ModernRequest, verdict: "Verdict") -> AuditRecord:
        """Return the record of a command that a rule denied."""
        line = request.line if isinstance(request, HMPRequest) else None
        result = Result(ErrorReply("GenericError", verdict.text), Action.REFUSED, str(verdict))
        reply = with_id(generic_error(verdict.text), request.message)
        return self.record(self.trace(session, line, request.execute), session, result, reply)

    def begun(self, trace: Trace) -> AuditRecord:
        """Return the record that a command is about to run."""
        return trace.begun(self.vm)

    def went_on(self, session: Session, execute: str) -> AuditRecord:
        """Return the record of what a client sent right after its HMP command failed, if that gets no record of its own.

        HMP reports failures in the text of a successful reply. A tool that sends `cont` after a failed loadvm has not read that
        text, and only this record shows it.
        """
        failed = session.failed_command
        session.note_outcome(None)
        trace = self.trace(session, None, execute)
        reason = "sent next by a client whose HMP command had failed"
        return trace.record(
            self.vm,
            Action.WENT_ON,
            reason,
            reply=None,
            client_gone=False,
            now_ns=trace.started_ns,
            after_failure=failed,
        )

    def record(self, trace: Trace, session: Session | None, result: Result, reply: JSON | None) -> AuditRecord:
        """Close a trace and return its record. reply: as the client gets it, with its id; None if it gets none."""
        record = trace.record(
            self.vm,
            result.action,
            result.reason,
            reply=reply,
            client_gone=session is not None and session.is_gone(),
            now_ns=self._clock.monotonic_ns(),
            rehearsed=result.rehearsed,
            after_failure=None if session is None else session.failed_command,
        )
        if not record.is_housekeeping:
            self._history.note(record)
        if session is not None and (record.has_failed or session.failed_command is not None):
            is_silent = record.is_failure_in_text and not session.is_prompt
            session.note_outcome(record.command_line if is_silent else None)
        return record

    def remark(self, trace: Trace, result: Result, strange_jobs: Sequence[str]) -> tuple[Result, list[str]]:
        """Return the result, and what the operator should read about a rewritten command.

        strange_jobs: the jobs that another monitor of QEMU began meanwhile; the result's reason mentions the first. That only
        this proxy can load what was saved is remarked once per VM and reason.
        """
        remarks: list[str] = []
        if result.action is not Action.REWRITTEN:
            return result, remarks
        if strange_jobs:
            told = f"another monitor of QEMU began the job '{strange_jobs[0]}' meanwhile"
            result = replace(result, reason=f"{result.reason}; {told}")
            remarks.append(f"while '{trace.command_line}' was carried out, {told}; the snapshot may be of two moments")
        if HALF_LOADED in result.reason and trace.client.listener != AT_START:
            remarks.append(
                f"VM {self.vm}, '{trace.command_line}' failed: {HALF_LOADED}. Load again with the devices that it had then, or "
                f"another tag; or system_reset and cont to boot from these disks"
            )
        gap = None if trace.decided is None or result.reply != ReturnReply("") else trace.decided.native_load
        if gap is not None and self._history.is_new_gap(gap):
            remarks.append(
                f"VM {self.vm}, what is saved here: {gap}; of a QEMU started by `hmp-proxy wrap`, the proxy loads it"
            )
        return result, remarks


def _nobody_looks(session: Session, client: Client) -> Identify:
    return unidentified
