"""A machine that was loaded, and has not run since: what is known of that, and which load is refused for it."""

import pytest

from shim.client import Client
from shim.decisions.plan_run import PlanRun
from shim.graph import known_crashes
from shim.graph.known import Known
from shim.graph.policy import Policy
from shim.hmp.line import LoadVM
from shim.plans.plan import Plan, Run
from shim.qmp import Execute
from shim.records.audit import Trace
from tests.support.shim.graphs import V7_2, V11_1, VIRTIO, Machine, disk, rows
from tests.support.shim.played_plan import job
from tests.support.shim.snapshot_plans import NOW, context, error, play_command, refusal_reason, uefi

STATE = rows("t", vm_state=True)
REFUSED = (
    "QEMU 7.2.22 would crash at the next 'cont': the VM was loaded already and has not run since, and 'pflash1' is a pflash "
    "that can be written to. Let the VM run first (cont, then stop), then load 't'"
)


def a_known(*, is_loaded: bool) -> Known:
    known = Known()
    known.is_loaded = is_loaded
    return known


def test_second_load_of_a_uefi_machine_is_refused() -> None:
    using = context(known=a_known(is_loaded=True))
    played = play_command(LoadVM("t"), uefi("raw", on_disk=STATE), using=using)
    assert refusal_reason(played) == REFUSED
    assert using.known is not None
    assert using.known.is_loaded


@pytest.mark.parametrize(
    ("is_loaded", "policy"), [(False, Policy()), (True, Policy(guard=False))], ids=["first", "without guard"]
)
def test_load_that_is_not_held_back(is_loaded: bool, policy: Policy) -> None:
    using = context(policy, known=a_known(is_loaded=is_loaded))
    play_command(LoadVM("t"), uefi("raw", on_disk=STATE), job("load", 1, "t", "disk0", "disk0"), using=using)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_load_that_failed_has_loaded_nothing(is_loaded: bool) -> None:
    text = "Snapshot 't' does not exist in one or more devices"
    using = context(Policy(guard=False), known=a_known(is_loaded=is_loaded))
    machine = uefi("raw", on_disk=STATE)
    played = play_command(LoadVM("t"), machine, job("load", 1, "t", "disk0", "disk0", error=text), using=using)
    assert played.outcome == error(text)
    assert using.known is not None
    assert using.known.is_loaded is is_loaded


def test_flash_that_is_only_read_is_no_danger() -> None:
    machine = Machine([node for node in uefi().nodes if node.name != "vars"])
    assert known_crashes.against_second_load(machine.graph(), "t", V7_2) is None


def test_machine_without_flash_is_in_no_danger() -> None:
    assert known_crashes.against_second_load(Machine(disk("d0", qdev=VIRTIO[0])).graph(), "t", V11_1) is None


def test_run_of_a_plan_tells_what_it_sends() -> None:
    def loading() -> Plan:
        yield Run((Execute("snapshot-load"), Execute("query-jobs")))
        raise AssertionError("nothing is answered")

    known = Known()
    run = PlanRun(loading(), Trace(NOW, 0, Client(), None), known=known)
    assert not known.is_loaded
    run.advance(None, 0)
    assert known.is_loaded
