"""What a plan is: a generator that yields steps, is sent their results, and returns an outcome.

A plan is how one legacy command becomes QMP. It does no I/O; its driver writes the commands, reads the replies, and shows the
outcome to the client. Every step and every outcome is a plain value, so a test can play a plan.
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
    "AwaitDeletion",
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


_QUERIES = ("query-", "x-debug-query-", "qom-list", "qom-get", "__hmpshim_")


@dataclass(frozen=True, slots=True)
class Run:
    """Write these commands in one go. The plan is sent their replies, in the same order.

    hides_resume: the plan will stop the VM again after these, so clients must not see that it ran in between.
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
class AwaitDeletion:
    """Wait for one poll interval, while QEMU frees a device. The plan is sent ()."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What was chosen, for the audit; there is nothing to wait for. The plan is sent ().

    native_load: for a savevm, why QEMU itself could not load what it makes; None if it could. deletes: the tags of older
    snapshots to delete once the new one is saved. remark: what could not be checked, in words.
    """

    choices: tuple[NodeChoice, ...]
    vmstate: str | None
    vmstate_reason: str
    native_load: str | None = None
    deletes: tuple[str, ...] = ()
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Intend:
    """Write this intent to disk before anything else is sent. The plan is sent ()."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Settle:
    """This intent is done, and what was written down can be forgotten. The plan is sent ()."""

    intent: Intent


Step: TypeAlias = Run | AwaitJob | AwaitDeletion | Decided | Intend | Settle


@dataclass(frozen=True, slots=True)
class Answer:
    """The command was done by jobs. text: what HMP would have printed, "" for success."""

    text: str
    reason: str = "done by snapshot jobs"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The command was not run, because it would fail or do harm. text: HMP's form, `Error: …`."""

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
    """Return a Refusal for this reason."""
    return Refusal(render.error(danger), danger)


Outcome: TypeAlias = Answer | Refusal | PassThrough
Replies: TypeAlias = tuple[Reply, ...]
Plan: TypeAlias = Generator[Step, Replies, Outcome]


def concluded(outcome: Outcome) -> Plan:
    """Return a plan without steps, for an outcome that is already known."""
    return outcome
    yield


@dataclass(frozen=True, slots=True)
class Context:
    """What a plan must know that its own queries do not return.

    commands: the names that the connected QEMU returns for `query-commands`.
    new_job_id: returns an id that no job has.
    now: QEMU's local time, for a snapshot without a name.
    local_time: converts seconds since the epoch to QEMU's local time.
    cpu_index: the client's `cpu-index`, if it sent one.
    known: what this connection to QEMU has learned; None if nothing is kept, so that everything is queried.
    free_space: looks at a file's file system; None if the driver cannot.
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
        """Return whether QEMU has HMP at all: it may be built without it (--disable-hmp, after 11.1)."""
        return "human-monitor-command" in self.commands
