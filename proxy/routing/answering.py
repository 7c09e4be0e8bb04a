"""How works end for their clients, without I/O: the answer that each gets, and the record of it.

The record comes before the answer (outbox.py). Where hmpshim itself has failed, the answer says that the outcome is not known.
"""

from math import inf
from typing import assert_never

from proxy.qmp_json.messages import generic_error, with_id
from proxy.routing.outbox import Outbox
from proxy.routing.pending import PendingReplies
from proxy.routing.plan_maker import RecordedRequest, Work
from proxy.routing.recorder import Recorder
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import HMPRequest, ModernRequest, OwnRequest
from shim.decisions.decision import Pass, Result
from shim.hmp import render
from shim.plans.recovery import Orphans, Written
from shim.qmp import JSON, Reply, ReturnReply, reply_members
from shim.records.audit import Action

__all__ = ["Answering"]

_BROKEN = "hmpshim has failed while it did this, so the outcome is not known; see its log"
_FAILED = "hmpshim has failed while it looked; see its log"


class Answering:
    """Answer clients, and put on record what was done for them.

    is_first: nothing was sent to QEMU for this work, so its answer comes after what QEMU owes the client for earlier commands.
    """

    def __init__(self, recorder: Recorder, pending: PendingReplies, outbox: Outbox, clock: Clock) -> None:
        self._recorder = recorder
        self._pending = pending
        self._outbox = outbox
        self._clock = clock

    def finish(self, work: Work, *, is_first: bool) -> None:
        """Record and answer a work that has ended by itself."""
        match work.request:
            case None:
                self._finish_recovery(work)
            case OwnRequest(message):
                told = generic_error(_FAILED) if work.run.failure is not None else {"return": work.run.outcome}
                self._answer(work, told, message, None, is_first=is_first)
            case HMPRequest(message=message) | ModernRequest(message=message):
                result, remarks = self._recorder.remark(work.run.trace, work.run.outcome, work.strange_jobs)
                self._outbox.notices += remarks
                reply = None if result.reply is None else self._members(work, result.reply)
                self._answer(work, reply, message, result, is_first=is_first)
            case _:
                assert_never(work.request)

    def _answer(
        self, work: Work, reply: dict[str, JSON] | None, message: dict[str, JSON], result: Result | None, *, is_first: bool
    ) -> None:
        """Put a result on record, then answer the client. message: the client's command."""
        session = work.session
        assert session is not None
        line = b"" if reply is None else session.spell_reply(reply, message)
        if result is not None:
            told = None if reply is None else with_id(reply, message)
            self._outbox.put_on_record(self._recorder.record(work.run.trace, session, result, told), session)
        if line:
            (self._pending.answer if is_first else self._outbox.send)(session, line)

    def _members(self, work: Work, reply: Reply) -> dict[str, JSON]:
        """Return the members of a reply, in the form in which the client wants failures (`Session.as_told`)."""
        line = work.request.line if isinstance(work.request, HMPRequest) else None
        return reply_members(reply if work.session is None else work.session.as_told(line, reply))

    def record_lost(self, work: Work, reason: str) -> None:
        """Put on record that the outcome of a client's command is not known."""
        if isinstance(work.request, RecordedRequest):
            passing = work.run.passing or Pass(Action.REWRITTEN, "")
            trace, session = work.run.trace, work.session
            assert session is not None  # whose request it is
            result = Result(None, passing.action, reason, passing.rehearsed)
            self._outbox.record(session, lambda: self._recorder.record(trace, session, result, None))

    def _finish_recovery(self, work: Work) -> None:
        outcome = work.run.outcome
        if work.run.failure is not None:
            return
        if isinstance(outcome, Orphans):
            work.orphans = [Written(intent, inf) for intent in outcome.intents]
            outcome = outcome.found
        for found in outcome:
            if found.is_trouble:
                self._outbox.notices.append(found.text)
            result = Result(None, Action.RECOVERED, found.text)
            self._outbox.put_on_record(self._recorder.record(work.run.trace, None, result, None), None)

    def break_off(self, work: Work, *, is_first: bool) -> None:
        """Answer the client of a work that cannot go on, because hmpshim has failed."""
        if work.session is None or work.request is None:
            return
        is_hmp = isinstance(work.request, HMPRequest)
        reply = self._members(work, ReturnReply(render.error(_BROKEN))) if is_hmp else generic_error(_BROKEN)
        work.run.lose(self._clock.monotonic_ns())
        self.record_lost(work, _BROKEN)
        line = work.session.spell_reply(reply, work.request.message)
        (self._pending.answer if is_first else self._outbox.send)(work.session, line)
