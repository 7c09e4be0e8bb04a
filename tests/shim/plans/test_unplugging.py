"""Loads while devices are being unplugged. What a real QEMU does: tests/integration/planning/test_unplugging_on_qemu.py."""

from typing import Final

import pytest

from shim.graph.known import Known
from shim.graph.policy import Mode, Policy
from shim.hmp.line import LoadVM
from shim.plans.plan import AwaitDeletion, Context, Refusal, Run
from shim.plans.snapshot_plans import plan
from shim.plans.unplugging import against_load, against_modern_load, may_hang
from shim.qmp import ErrorReply, Execute, QEMUVersion, Reply, ReturnReply
from tests.support.shim.graphs import V7_2, V10_0, Machine, rows
from tests.support.shim.played_plan import Played, drive
from tests.support.shim.snapshot_plans import context, error, two

STATE: Final = rows("t", vm_state=True)
TEXT: Final = (
    "QEMU 7.2.22 may hang for good: 'v1' is being unplugged, and a load would complete that. Load once it has gone (event "
    "DEVICE_DELETED): when the guest lets it go, or after 'system_reset'"
)
LOAD: Final = {"execute": "snapshot-load"}
V1: Final = "/machine/peripheral/v1"


class Unplugging:
    """A machine that was asked to unplug a device. leaves_after: how often it is found before it has left its bus; then
    `freed_after` polls until QEMU says so. buses: the bus that a device is on, by its path.
    """

    def __init__(self, device: str = "v1", *, leaves_after: int = 1_000, freed_after: int = 1) -> None:
        self.known = Known()
        self.known.unplugs.ask(device)
        self.known.unplugs.answer(device, is_agreed=True)
        self.device, self.leaves_after, self.freed_after = device, leaves_after, freed_after
        self.buses = {
            "/machine/peripheral/v0/virtio-backend": "/machine/peripheral/v0/virtio-bus",
            "/machine/peripheral/v0": "/machine/pcihost/pci.0",
            f"{V1}/virtio-backend": "/machine/peripheral/c1/c1.0",
        }

    def context(self, policy: Policy | None = None, version: QEMUVersion = V7_2) -> Context:
        return context(policy, known=self.known, version=version)

    def answers(self, command: Execute) -> Reply:

        if command.command == "qom-get":
            bus = self.buses.get(command.arguments["path"])
            return ErrorReply("GenericError", "Property not found") if bus is None else ReturnReply(bus)
        assert command.command == "qom-list"
        self.leaves_after -= 1
        if self.leaves_after >= 0:
            return ReturnReply([])
        if (self.freed_after - 1) + self.leaves_after < 0:
            self.known.receive_event("DEVICE_DELETED", {"path": command.arguments["path"]})
        return ErrorReply("DeviceNotFound", "Device not found")

    def looked(self, machine: Machine | None = None) -> Played[str | None]:
        graph = (machine or two(STATE, STATE)).graph()
        return drive(against_load(graph, self.context()), self.answers)


def test_load_waits_for_no_guest() -> None:
    played = Unplugging().looked()
    assert played.outcome == TEXT
    assert AwaitDeletion() not in played.steps


def test_disk_that_has_left_its_bus_is_waited_for() -> None:
    played = Unplugging(leaves_after=0, freed_after=3).looked()
    assert played.outcome is None
    assert played.steps.count(AwaitDeletion()) == 2


def test_disk_that_goes_between_two_looks_is_not_looked_for_again() -> None:
    unplugging = Unplugging(leaves_after=0, freed_after=1_000)
    looking = against_load(two(STATE, STATE).graph(), unplugging.context())
    step = next(looking)
    assert step == Run((Execute("qom-list", {"path": V1}),))
    assert looking.send((ErrorReply("DeviceNotFound", "Device not found"),)) == AwaitDeletion()
    unplugging.known.receive_event("DEVICE_DELETED", {"path": V1})
    with pytest.raises(StopIteration):
        looking.send(())


def test_what_is_never_freed_holds_up_no_load_for_ever() -> None:
    played = Unplugging(leaves_after=0, freed_after=1_000).looked()
    assert played.outcome is None
    assert played.steps.count(AwaitDeletion()) == 20


def test_controller_with_a_disk_behind_it_counts_as_one() -> None:
    unplugging = Unplugging("c1")
    assert unplugging.looked().outcome == TEXT.replace("'v1'", "'c1'")


def test_device_without_a_disk_may_go_in_a_load() -> None:
    """A network card: seen on 7.2."""
    played = Unplugging("net0").looked()
    assert played.outcome is None
    assert AwaitDeletion() not in played.steps


def test_disk_that_outlasted_a_reset_stays() -> None:
    unplugging = Unplugging()
    unplugging.known.receive_event("RESET", {})
    assert unplugging.looked().outcome is None


def test_refused_load_changes_nothing() -> None:
    unplugging = Unplugging()
    machine = two(STATE, STATE)
    replies = {
        "query-named-block-nodes": machine.query_named_block_nodes(),
        "x-debug-query-block-graph": machine.query_graph(),
        "query-block": machine.query_block(),
        "query-jobs": [],
        "query-migrate-capabilities": [],
    }

    def answer(command: Execute) -> Reply:

        return ReturnReply(replies[command.command]) if command.command in replies else unplugging.answers(command)

    played = drive(plan(LoadVM("t"), unplugging.context()), answer)
    assert played.outcome == Refusal(error(TEXT).text, TEXT)
    assert not any(sent.command.startswith("snapshot-") for sent in played.sent)
    modern = drive(against_modern_load(unplugging.context()), answer)
    assert modern.outcome == TEXT


def test_qemu_that_does_not_tell_its_disks_is_left_alone() -> None:

    played = drive(against_modern_load(Unplugging().context()), lambda command: ErrorReply("GenericError", "no"))
    assert played.outcome is None


@pytest.mark.parametrize(
    ("message", "policy", "version", "is_looked_at"),
    [
        (LOAD, Policy(), V7_2, True),
        ({"execute": "snapshot-save"}, Policy(), V7_2, False),
        (LOAD, Policy(guard=False), V7_2, False),
        (LOAD, Policy(mode=Mode.OBSERVE), V7_2, False),
        (LOAD, Policy(), V10_0, False),
    ],
    ids=["load", "save", "without guard", "observed", "10.0"],
)
def test_which_of_qmps_own_commands_is_looked_at(
    message: dict[str, str], policy: Policy, version: QEMUVersion, is_looked_at: bool
) -> None:
    assert may_hang(message, Unplugging().context(policy, version)) is is_looked_at


def test_nothing_is_asked_where_nothing_is_unplugged() -> None:
    for using in (context(), context(known=Known())):
        assert not may_hang(LOAD, using)
        assert drive(against_load(two().graph(), using), Unplugging().answers).steps == []
