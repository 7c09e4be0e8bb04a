"""A runner of plans on a modelled QEMU, without a router."""

import itertools
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.routing.outbox import Outbox
from proxy.routing.pending import Owed, PendingReplies
from proxy.routing.plan_maker import PlanMaker, Work
from proxy.routing.plan_runner import PlanRunner
from proxy.routing.recorder import Recorder
from proxy.routing.turns import Turns
from proxy.sessions.requests import HMPRequest
from proxy.sessions.session import Session
from shim.graph.policy import Policy
from shim.plans.recovery import Written
from shim.records.audit import Action, AuditRecord
from tests.support.routing.pure_router import ManualClock, ModelQEMU, a_monitor, a_session, hmp

__all__ = ["SAVE_STEPS", "Bench", "replies"]

SAVE_STEPS: Final = ["snapshot-save", "query-jobs", "job-dismiss"]


@dataclass(slots=True)
class Bench:
    """A runner on a modelled QEMU. written: the commands of each write; records, sent: what it left in the outbox."""

    qemu: ModelQEMU = field(default_factory=ModelQEMU)
    policy: Policy = field(default_factory=Policy)
    pretty: bool = False
    maker: PlanMaker = field(init=False)
    runner: PlanRunner = field(init=False)
    turns: Turns = field(default_factory=Turns)
    clock: ManualClock = field(default_factory=ManualClock)
    outbox: Outbox = field(default_factory=Outbox)
    owed: deque[Owed] = field(init=False)
    written: list[list[str]] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        new_id = map("hmpshim-{}".format, itertools.count(1)).__next__
        clock = self.clock.clock()
        recorder, pending = Recorder(a_monitor(), clock), PendingReplies(self.outbox)
        self.owed = pending.queue
        self.maker = PlanMaker(a_monitor(), self.policy, clock, recorder, new_job_id=new_id, own_prefix="hmpshim-")
        self.runner = PlanRunner(self.maker, recorder, clock, "hmpshim-", self.turns, pending, self.outbox)

    def add(self, line: str, session: Session | None = None, id: object = 1) -> Session:
        session = session or a_session(negotiated=True, pretty=self.pretty)
        session.inbox.receive_data(hmp(line, id=id))
        request = session.next_request()
        assert isinstance(request, HMPRequest)
        self.runner.begin(self.maker.command(session, request))
        self.take()
        return session

    def recover(self, written: Sequence[Written] = ()) -> None:
        self.runner.begin(self.maker.recovery(written))
        self.take()

    def take(self) -> None:
        """Let QEMU have what is written, and write what is to be written down."""
        while notes := self.outbox.notes_to_write():
            for note in notes:
                self.runner.noted(note.work, None)
        for segment in self.outbox.segments_to_qemu():
            commands = [line for line in segment.data.splitlines(keepends=True) if line.strip()]
            self.written.append([json.loads(command)["execute"] for command in commands])
            for command in commands:
                output = self.qemu.receive(command)
                self.replies += [raw for raw in output.splitlines(keepends=True) if b'"event"' not in raw]

    def answer(self, count: int | None = None) -> None:
        """Return the replies that are due, or so many of them."""
        while self.replies and count != 0:
            owed = self.owed.popleft()
            if isinstance(owed, Work):
                line = self.replies.pop(0)
                session = self.runner.receive_reply(owed, line)
                if session is not None:
                    session.send(line)
            else:
                self.replies.pop(0)
            self.take()
            count = None if count is None else count - 1

    def poll(self) -> None:
        self.runner.poll()
        self.take()

    @property
    def records(self) -> list[AuditRecord]:
        return self.outbox.records

    def outcomes(self) -> list[tuple[str | None, Action]]:
        return [(record.command_line, record.action) for record in self.records]


def replies(session: Session) -> Any:
    return json.loads(session.data_to_send())
