"""A modelled VM that plans are played on."""

from dataclasses import dataclass
from typing import Any

from shim.hmp.line import HMPLine
from shim.plans.plan import Context
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.plans.snapshot_plans import plan
from shim.qmp import ErrorReply, Execute, QEMUVersion, Reply, ReturnReply
from tests.fakes.block import BlockGraph
from tests.fakes.commands import run_command
from tests.fakes.jobs import QMPError, VMFaults
from tests.fakes.vm import VM
from tests.support.shim.graphs import V7_2, Machine
from tests.support.shim.played_plan import Played
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import context

__all__ = ["Stage", "rehearsed"]


@dataclass(slots=True)
class Stage:
    """A modelled VM that answers commands, and notes what happens to it."""

    vm: VM
    events: list[str]

    @classmethod
    def of(cls, machine: Machine, faults: VMFaults | None = None, version: QEMUVersion = V7_2) -> "Stage":
        events: list[str] = []
        graph = BlockGraph(machine.nodes, machine.backends)
        vm = VM(graph, version=version, faults=faults, emit=lambda name, data: events.append(name))
        return cls(vm, events)

    def answer(self, command: Execute) -> Reply:
        try:
            return ReturnReply(run_command(self.vm, command.command, command.arguments))
        except QMPError as exc:
            return ErrorReply(exc.error_class, exc.desc)
        finally:
            self.vm.jobs.settle()

    def state(self) -> Any:
        """Return all that a command could change."""
        snapshots = [(node.name, list(node.snapshots), node.content) for node in self.vm.graph.nodes]
        return snapshots, self.vm.run_state, self.vm.memory, self.vm.jobs.query(), list(self.events)


def rehearsed(machine: Machine, line: str, using: Context | None = None) -> Rehearsal:
    command = HMPLine.read(line).command
    assert command is not None
    using = using or context()
    played: Played[Rehearsal] = drive_plan(rehearse(plan(command, using), using), Stage.of(machine).answer)
    assert played.outcome is not None
    return played.outcome
