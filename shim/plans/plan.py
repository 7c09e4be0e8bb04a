"""What a plan is: a generator that yields steps, is sent what they gave, and returns an outcome.

A plan is how one legacy command becomes QMP. It does no I/O; whoever drives it writes the commands, reads the replies, and
shows the outcome to the client. Every step and every outcome is a plain value, so a plan can be played in a test.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from shim.graph.free_space import LookAtSpace
from shim.graph.known import Known
from shim.graph.policy import Policy
from shim.graph.selection import NodeChoice
from shim.hmp import render
from shim.plans.intent import Intent
from shim.qmp import Execute, QEMUVersion, Reply

__all__ = [
    "Answer",
    "AwaitJob",
    "Context",
    "Decided",
    "Intend",
    "Outcome",
    "PassThrough",
    "Plan",
    "Refusal",
    "Run",
    "Settle",
    "Step",
    "concluded",
    "refuse",
]


_QUERIES = ("query-", "x-debug-query-", "qom-list", "__hmpshim_")


@dataclass(frozen=True, slots=True)
class Run:
    """Write these commands in one go. The plan is sent their replies, in the same order.

    hides_resume: the plan stops the VM once more after these, so that clients are not shown that it ran in between.
    """

    commands: tuple[Execute, ...]
    hides_resume: bool = False

    @property
    def changes_nothing(self) -> bool:
        return all(command.command.startswith(_QUERIES) for command in self.commands)


@dataclass(frozen=True, slots=True)
class AwaitJob:
    """Wait until a JOB_STATUS_CHANGE says that the job concluded, or for one poll interval. The plan is sent ()."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Not to be waited for: what was chosen, for the audit. The plan is sent ().

    native_load: of a savevm, why QEMU itself could not load what it makes; None where it could. deletes: the tags of older
    snapshots that go once the new one is saved. remark: what could not be checked, in words.
    """

    choices: tuple[NodeChoice, ...]
    vmstate: str | None
    vmstate_reason: str
    native_load: str | None = None
    deletes: tuple[str, ...] = ()
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Intend:
    """Have this written down before anything else is sent. The plan is sent ()."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Settle:
    """What was written down is done, and can be forgotten. The plan is sent ()."""

    intent: Intent


Step: TypeAlias = Run | AwaitJob | Decided | Intend | Settle


@dataclass(frozen=True, slots=True)
class Answer:
    """The command was done by jobs. text: what HMP would have printed, "" for success."""

    text: str
    reason: str = "done by snapshot jobs"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The command was not run, because it would do harm. text: HMP's form, `Error: …`."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class PassThrough:
    """QEMU is to get the client's own bytes.

    is_delegated: the plan could do it by jobs, but QEMU's own command does it better.
    """

    reason: str
    is_delegated: bool = False


def refuse(danger: str) -> Refusal:
    """Refuse a command for this reason."""
    return Refusal(render.error(danger), danger)


Outcome: TypeAlias = Answer | Refusal | PassThrough
Replies: TypeAlias = tuple[Reply, ...]
Plan: TypeAlias = Generator[Step, Replies, Outcome]


def concluded(outcome: Outcome) -> Plan:
    """Make a plan with no step, where the outcome is known."""
    return outcome
    yield


@dataclass(frozen=True, slots=True)
class Context:
    """What a plan has to know that no query of its own tells.

    commands: what the connected QEMU answers to `query-commands`.
    new_job_id: gives an id that no job has.
    now: QEMU's local time, for a snapshot without a name.
    local_time: seconds since the epoch as QEMU's local time.
    cpu_index: the client's `cpu-index`, if it gave one.
    known: what this connection to QEMU has learned; None where it is not kept, and all is asked for.
    free_space: looks at a file's file system; None where nobody can.
    """

    version: QEMUVersion
    commands: frozenset[str]
    new_job_id: Callable[[], str]
    now: datetime
    local_time: Callable[[int], datetime]
    policy: Policy = field(default_factory=Policy)
    cpu_index: int | None = None
    known: Known | None = None
    free_space: LookAtSpace | None = None

    @property
    def has_hmp(self) -> bool:
        """Tell whether QEMU can be left a command of HMP: it may be built without (--disable-hmp, after 11.1)."""
        return "human-monitor-command" in self.commands
