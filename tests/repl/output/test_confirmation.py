"""What is told and asked before something is lost, and what is not worth a question."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from repl.completion_data import CompletionData
from repl.lines.lines import QMPLine, read_line
from repl.output.confirmation import Confirmation, confirmation, ends_vm
from repl.settings.values import Question
from shim.graph.policy import Overwrite, Policy, PolicyKind, WhenFull
from shim.hmp.line import HMPLine
from shim.qmp import QEMUVersion
from tests.fakes.qemu import FakeQEMU, VMFaults, two_disks
from tests.support.repl import executing
from tests.support.repl.executing import Bench

OLD = QEMUVersion(5, 2, 0)


def cautioned(
    line: str, *tags: str, policy: Policy | None = None, then: Callable[[FakeQEMU], None] | None = None, **options: Any
) -> Confirmation | None:
    """Return what a person is told before this line, on a VM with these snapshots."""
    found: list[Confirmation | None] = []

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for tag in tags:
            qemu.vm.save_snapshot(tag, overwrite=True)
        if then is not None:
            then(qemu)
        before = [node.snapshots[:] for node in qemu.vm.graph.nodes]
        asked = read_line(line, CompletionData()) if line.startswith(("qmp ", "{")) else HMPLine.read(line)
        assert isinstance(asked, HMPLine | QMPLine)
        found.append(await confirmation(bench.executor, asked, width=200))
        assert [node.snapshots for node in qemu.vm.graph.nodes] == before
        assert qemu.vm.run_state == "running"

    executing.played(scene, FakeQEMU(two_disks(), **options), policy=policy)
    return found[0]


def told(asked: Confirmation | None) -> str:
    assert asked is not None
    return "".join(text for _, text in asked.explanation)


@pytest.mark.parametrize(
    "line",
    [
        *("info status", "savevm", "savevm new", "info snapshots", "stop", "system_reset", "", "savevm a b"),
        *("quitx", "help quit", "delvm absent"),
    ],
)
def test_nothing_is_asked_where_nothing_is_lost(line: str) -> None:
    assert cautioned(line, "t") is None


@pytest.mark.parametrize("line", ["quit", "q", " quit", "quit "])
def test_end_of_the_vm_is_asked_for(line: str) -> None:
    asked = cautioned(line)
    assert asked is not None
    assert asked.question == "End the VM?"
    assert told(asked).startswith("This ends QEMU")
    assert ends_vm(HMPLine.read(line))


@pytest.mark.parametrize(
    ("line", "question", "loss"),
    [
        ("savevm t", "Replace it?", "replaces 't' of "),
        ("loadvm t", "Load it?", "the VM goes back to "),
        ("delvm t", "Delete it?", "removes 't' of "),
        ('delvm "t"', "Delete it?", "removes 't' of "),
    ],
)
def test_loss_is_told_and_asked_for(line: str, question: str, loss: str) -> None:
    asked = cautioned(line, "t")
    assert asked is not None
    assert asked.question == question
    assert loss in told(asked)


def test_load_that_would_fail_is_asked_for() -> None:
    """It would leave the VM stopped."""
    asked = cautioned("loadvm absent", "t")
    assert "Snapshot 'absent' does not exist in one or more devices" in told(asked)
    assert "leaves it stopped" in told(asked)


def test_nothing_is_asked_where_the_command_will_be_refused() -> None:
    """The answer says why, and nothing is done."""
    assert cautioned("savevm t", "t", policy=Policy(overwrite=Overwrite.REFUSE)) is None

    def duplicate(qemu: FakeQEMU) -> None:
        node = qemu.vm.graph["d0"]
        node.snapshots.append(node.snapshots[0])

    assert cautioned("loadvm t", "t", then=duplicate) is None


@pytest.mark.parametrize("tag", ["t", "other"])
def test_savevm_that_qemu_gets_as_it_is_is_asked_for_where_it_finds_the_tag(tag: str) -> None:
    """A QEMU without snapshot jobs replaces a tag too."""
    asked = cautioned(f"savevm {tag}", "t", version=OLD)
    assert (asked is not None) is (tag == "t")
    assert asked is None or (asked.question, "QEMU would get the command as it is" in told(asked)) == ("Replace it?", True)


def test_savevm_of_a_qemu_that_tells_no_nodes_is_not_asked_for() -> None:
    assert cautioned("savevm t", "t", vm_faults=VMFaults(is_graph_refused=True)) is None


@pytest.mark.parametrize("line", ["loadvm t", "delvm t"])
def test_load_and_deletion_are_asked_for_in_any_case(line: str) -> None:
    asked = cautioned(line, "t", vm_faults=VMFaults(is_graph_refused=True))
    assert "QEMU would get the command as it is" in told(asked)


def test_policy_is_the_one_of_the_command() -> None:
    assert "takes d0, d1" in told(cautioned("loadvm t", "t", policy=Policy(kind=PolicyKind.HMP)))


def test_explanation_fits_the_terminal() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.vm.save_snapshot("t", overwrite=True)
        for width in range(20, 100, 7):
            asked = await confirmation(bench.executor, HMPLine.read("loadvm t"), width=width)
            assert max(map(len, told(asked).splitlines())) <= width

    fits: Callable[[FakeQEMU, Bench], Awaitable[None]] = scene
    executing.played(fits, FakeQEMU(two_disks()))


LIMITS = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-", protect=frozenset({"golden"}))


def test_deletion_of_the_oldest_is_told_and_asked_for() -> None:
    asked = cautioned("savevm auto-3", "auto-1", "auto-2", policy=LIMITS)
    assert asked is not None
    assert asked.question == "Save it, and delete the oldest?"
    assert "deletes 'auto-1' once the new one is saved" in told(asked)


@pytest.mark.parametrize("line", ["savevm golden", "delvm golden", "savevm more"])
def test_what_a_limit_refuses_is_not_asked_for(line: str) -> None:
    assert cautioned(line, "golden", "x", policy=LIMITS) is None


# -- QMP's commands -------------------------------------------------------------------------------------------------------


def by_hmp(line: str) -> str:
    return f'qmp human-monitor-command command-line="{line}"'


@pytest.mark.parametrize(
    ("line", "question", "about"),
    [
        ("qmp quit", "End the VM?", Question.QUIT),
        ('{"execute": "quit"}', "End the VM?", Question.QUIT),
        (by_hmp("q"), "End the VM?", Question.QUIT),
        ("qmp snapshot-load job-id=j tag=t vmstate=d0 devices=[]", "Load it?", Question.LOAD),
        (by_hmp("loadvm t"), "Load it?", Question.LOAD),
        ("qmp snapshot-delete job-id=j tag=t devices=[]", "Delete it?", Question.DELETE),
        ("qmp blockdev-snapshot-delete-internal-sync device=d0 name=t", "Delete it?", Question.DELETE),
        (by_hmp("delvm t"), "Delete it?", Question.DELETE),
        (by_hmp("savevm t"), "Replace it?", Question.REPLACE),
    ],
)
def test_what_qmp_takes_is_asked_for(line: str, question: str, about: Question) -> None:
    asked = cautioned(line, "t")
    assert asked is not None
    assert (asked.question, asked.about) == (question, about)
    command = {Question.LOAD: "loadvm", Question.DELETE: "delvm", Question.REPLACE: "savevm"}.get(about, "exit")
    assert command in told(asked)


@pytest.mark.parametrize(
    "line",
    [
        *("qmp query-status", "qmp stop", "qmp snapshot-save job-id=j tag=t vmstate=d0 devices=[]"),
        *(by_hmp("savevm new"), by_hmp("savevm"), by_hmp("savevm a b"), by_hmp("info status"), by_hmp("help quit")),
        *("qmp human-monitor-command", "qmp human-monitor-command command-line=5 cpu-index=0"),
    ],
)
def test_nothing_is_asked_where_qmp_takes_nothing(line: str) -> None:
    assert cautioned(line, "t") is None


def test_native_savevm_is_not_asked_for_where_nobody_can_look() -> None:
    assert cautioned(by_hmp("savevm t"), version=OLD) is None


@pytest.mark.parametrize(
    ("line", "about"), [("savevm t", Question.REPLACE), ("loadvm t", Question.LOAD), ("delvm t", Question.DELETE)]
)
def test_question_says_what_it_is_about(line: str, about: Question) -> None:
    asked = cautioned(line, "t")
    assert asked is not None
    assert asked.about is about
