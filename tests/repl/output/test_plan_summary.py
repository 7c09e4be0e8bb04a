"""A rehearsed plan in short, on terminals of several widths."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from repl.beside import TO_PROXY
from repl.output.layout import Fragment
from repl.output.plan_summary import deleted_tags, plan_summary, replaces_snapshot
from shim.graph.policy import Overwrite, Policy, WhenFull
from shim.hmp.line import HMPLine
from shim.plans.plan import Answer, Context, Outcome, PassThrough
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.plans.snapshot_plans import plan
from tests.support.repl.fragments import CHARACTERS, assert_fits, shown
from tests.support.shim.graphs import Machine, Snapshot, patterns, rows
from tests.support.shim.plan_cases import LINES, MACHINES, POLICIES
from tests.support.shim.played_plan import Played
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import WITH_HMP, context, raw_data, two, uefi
from tests.support.shim.stage import Stage

DATE: Final = 1_790_000_000
NOW: Final = datetime.fromtimestamp(DATE + 3 * 3600, UTC)
WIDTHS: Final = (40, 60, 80, 120)


def dated(*tags: str, vm_state: bool = False) -> list[Snapshot]:
    return [replace(row, date_ns=DATE * 10**9) for row in rows(*tags, vm_state=vm_state)]


def rehearsed(machine: Machine, line: str, using: Context | None = None) -> Rehearsal:
    command = HMPLine.read(line).command
    assert command is not None
    using = using or context()
    played: Played[Rehearsal] = drive_plan(rehearse(plan(command, using), using), Stage.of(machine).answer)
    assert played.outcome is not None
    return played.outcome


def summary(line: str, rehearsal: Rehearsal, width: int = 80) -> list[Fragment]:
    return plan_summary(
        HMPLine.read(line), rehearsal, width=width, now=NOW, local_time=lambda seconds: datetime.fromtimestamp(seconds, UTC)
    )


def text(machine: Machine, line: str, using: Context | None = None, *, width: int = 200) -> str:
    return shown(summary(line, rehearsed(machine, line, using), width))


def last_lines(machine: Machine, line: str, count: int, using: Context | None = None) -> Sequence[str]:
    return text(machine, line, using).splitlines()[-count:]


SAVEVM_ON_UEFI: Final = """\
savevm t
  leaves out pflash0: read-only
  leaves out pflash1: varstore of format raw, which cannot hold
    a snapshot
  takes d0: writable disk
  VM state goes to d0: HMP's choice: the first disk that can
    hold a snapshot
  QEMU itself (-loadvm, or a revert by libvirt before 10.10)
    could not load it: 'pflash1' is writable and cannot hold a
    snapshot.
  replaces 't' of 2026-09-21 14:13:20 (3 h ago) with a VM state
    of 411 KiB on d0; the old one is lost
  the new one is saved first under an internal tag, so that a
    snapshot is there at every moment
  It would succeed."""

LOADVM: Final = """\
loadvm t
  takes d0, d1: writable disk
  VM state comes from d0: it holds the
    VM state of 't'
  the VM goes back to 2026-09-21
    14:13:20 (3 h ago); what happened
    since then is lost
  It would succeed, unless the VM's
    devices differ from the saved ones:
    only the disks' snapshots were
    looked at."""


def test_savevm_that_replaces() -> None:
    assert text(uefi(on_disk=dated("t", vm_state=True)), "savevm t", width=63) == SAVEVM_ON_UEFI


def test_savevm_that_deletes_first_says_what_may_be_lost() -> None:
    fast = context(Policy(overwrite=Overwrite.REPLACE))
    assert last_lines(uefi(on_disk=dated("t", vm_state=True)), "savevm t", 2, fast) == [
        "  the old one is deleted first; if QEMU or hmpshim ends before the new one is saved, there is none",
        "  It would succeed.",
    ]


def test_savevm_that_qemu_replaces_by_itself() -> None:
    using = context(commands=WITH_HMP)
    assert last_lines(two(dated("t", vm_state=True), dated("t")), "savevm t", 2, using) == [
        "  replaces 't' of 2026-09-21 14:13:20 (3 h ago) with a VM state of 411 KiB on d0, d1; the old one is lost",
        "  QEMU would get the command as it is: QEMU's own savevm replaces the snapshot in one step.",
    ]


def test_savevm_of_a_new_tag_replaces_nothing() -> None:
    assert last_lines(two(), "savevm t", 2) == [
        "  VM state goes to d0: HMP's choice: the first disk that can hold a snapshot",
        "  It would succeed.",
    ]


def test_savevm_replaces_also_what_only_a_disk_has_that_the_policy_leaves_out() -> None:
    machine = two([], dated("t"))
    told = text(machine, "savevm t", context(Policy(exclude=patterns("d1"))))
    assert "  replaces 't' of 2026-09-21 14:13:20 (3 h ago) without a VM state on d1; the old one is lost\n" in told
    assert "  leaves out d1: excluded by the configuration\n" in told


def test_loadvm() -> None:
    assert text(two(dated("t", vm_state=True), dated("t")), "loadvm t", width=40) == LOADVM


def test_loadvm_goes_back_to_the_date_of_the_vm_state() -> None:
    later = [replace(row, date_ns=(DATE + 7200) * 10**9) for row in rows("t")]
    assert "goes back to 2026-09-21 14:13:20 (3 h ago);" in text(two(later, dated("t", vm_state=True)), "loadvm t")


def test_loadvm_that_fails_tells_that_the_vm_stays_stopped() -> None:
    assert last_lines(two(dated("t", vm_state=True), []), "loadvm t", 3) == [
        "  VM state comes from d0: it holds the VM state of 't'",
        "  QEMU would answer: Error: Snapshot 't' does not exist in one or more devices",
        "  QEMU stops a running VM for that and leaves it stopped; 'cont' lets it go on.",
    ]
    told = last_lines(two(dated("t"), dated("t")), "loadvm t", 3)
    assert told[0] == "  VM state: none (no disk holds a VM state of 't')"
    assert told[2] == "  QEMU stops a running VM for that and leaves it stopped; 'cont' lets it go on."


def test_loadvm_that_is_refused() -> None:
    told = text(two(dated("t", "t", vm_state=True), dated("t")), "loadvm t")
    assert "\n  It would be refused, and nothing changed: Error: 'd0' has 2 snapshots named 't'" in told


def test_delvm() -> None:
    assert last_lines(two(dated("t", vm_state=True), dated("t")), "delvm t", 3) == [
        "  takes d0, d1: writable disk",
        "  removes 't' of 2026-09-21 14:13:20 (3 h ago) with a VM state of 411 KiB from d0, d1",
        "  It would succeed.",
    ]


def test_delvm_of_a_duplicate_leaves_the_rest() -> None:
    assert last_lines(two(dated("t", "t"), dated("t")), "delvm t", 3) == [
        "  removes 't' of 2026-09-21 14:13:20 (3 h ago) without a VM state from d0, d1",
        "  d0 has it more than once; a delvm removes the oldest on each disk",
        "  It would succeed.",
    ]


def test_delvm_of_nothing() -> None:
    assert last_lines(two(), "delvm t", 2) == ["  no disk has 't', so nothing is removed", "  It would succeed."]


def test_snapshot_without_a_date() -> None:
    assert "  removes 't' of an unknown date without a VM state from d0\n" in text(two(rows("t")), "delvm t")


@pytest.mark.parametrize(
    ("machine", "line", "ending"),
    [
        (raw_data(), "savevm t", "QEMU would answer: Error: Device 'd1' is writable but does not support snapshots"),
        (raw_data(dated("t")), "delvm t", "QEMU would answer: Error: Device 'd1' is writable but does not support snapshots"),
        (two(), "info snapshots", "QEMU would get the command as it is: the policy chooses what HMP chooses."),
        (uefi(on_disk=dated("t")), "info snapshots", "It would show a table of these disks' snapshots."),
        (Machine([]), "savevm t", "QEMU would get the command as it is: there is no writable disk."),
    ],
)
def test_endings(machine: Machine, line: str, ending: str) -> None:
    assert last_lines(machine, line, 1, context(commands=WITH_HMP)) == [f"  {ending}"]


@pytest.mark.parametrize(
    ("line", "outcome", "told"),
    [
        ("savevm t", TO_PROXY, "replaces 't'; the old one is lost"),
        ("loadvm t", Answer("", "it is there"), "the VM goes back to the moment of the snapshot; what happened"),
    ],
)
def test_what_is_lost_is_told_also_where_the_disks_are_not_known(line: str, outcome: Outcome, told: str) -> None:
    """A proxy made the plan, and its QEMU does not tell the prompt its graph."""
    assert told in shown(summary(line, Rehearsal(outcome, None, [], None), 200))


def test_nothing_asked() -> None:
    rehearsal = Rehearsal(PassThrough("it is no command of ours"), None, [], None)
    assert shown(summary("stop", rehearsal)) == "stop\n  QEMU would get the command as it is: it is no command of ours."


def test_styles() -> None:
    told = summary("savevm t", rehearsed(two(dated("t", vm_state=True), dated("t")), "savevm t"))
    styles = {text.strip(): style for style, text in told}
    assert (styles["savevm t"], styles["replaces"], styles["succeed."]) == ("class:heading", "class:notice", "class:success")
    failing = {text.strip(): style for style, text in summary("loadvm t", rehearsed(two(), "loadvm t"))}
    assert failing["stopped;"] == "class:error"


# -- whether a snapshot is replaced ---------------------------------------------------------------------------------------

REFUSE: Final = Policy(overwrite=Overwrite.REFUSE)


@pytest.mark.parametrize(
    ("machine", "line", "policy", "replaces"),
    [
        (two(), "savevm t", Policy(), False),
        (two(dated("u"), dated("u")), "savevm t", Policy(), False),
        (two(dated("t"), dated("t")), "savevm t", Policy(), True),
        (two(dated("t"), []), "savevm t", Policy(), True),
        (two(dated("t"), dated("t")), "savevm t", REFUSE, False),
        (two(dated("t"), dated("t")), "savevm", Policy(), False),
        (raw_data(dated("t")), "savevm t", Policy(), False),
        (two(dated("t"), dated("t")), "delvm t", Policy(), False),
        (two(dated("t", vm_state=True), dated("t")), "loadvm t", Policy(), False),
        (Machine([]), "savevm t", Policy(), False),
    ],
)
def test_replaces_snapshot(machine: Machine, line: str, policy: Policy, replaces: bool) -> None:
    assert replaces_snapshot(rehearsed(machine, line, context(policy))) is replaces


# -- what holds for all ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MACHINES)
def test_no_line_is_too_wide(name: str, width: int) -> None:
    for policy in POLICIES.values():
        for line in LINES:
            told = summary(line, rehearsed(MACHINES[name](), line, context(policy)), width)
            assert_fits(told, width)
            assert shown(told).startswith(f"{line}\n  ")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(20))
def test_strange_tags_fit_and_are_not_obeyed(seed: int, width: int) -> None:
    rng = random.Random(seed)
    tag = "".join(rng.choices(CHARACTERS.replace('"', "").replace("\\", ""), k=rng.choice([0, 3, 30, 255])))
    line = f'{rng.choice(["savevm", "loadvm", "delvm"])} "{tag}"'
    machine = two(dated(*[tag] * rng.randint(0, 2), vm_state=True), dated(*[tag] * rng.randint(0, 1)))
    assert_fits(summary(line, rehearsed(machine, line), width), width)


DELETES: Final = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")


def test_what_goes_for_a_new_snapshot_is_told_and_is_no_replacing() -> None:
    machine = two(dated("auto-1", "auto-2", vm_state=True), dated("auto-1", "auto-2"))
    found = rehearsed(machine, "savevm t", context(DELETES))
    assert deleted_tags(found) == ("auto-1",)
    assert not replaces_snapshot(found)
    assert last_lines(machine, "savevm t", 2, context(DELETES)) == [
        "  deletes 'auto-1' once the new one is saved, because the setting max_snapshots is reached",
        "  It would succeed.",
    ]


def test_what_could_not_be_checked_is_told() -> None:
    lines = last_lines(two(), "savevm t", 2, context(Policy(check_space=True)))
    assert lines[0].startswith("  the free space was not checked: the path of the image of 'd0' means nothing outside QEMU")


def test_nothing_goes_where_nothing_was_decided() -> None:
    assert deleted_tags(Rehearsal(TO_PROXY, None, [], None)) == ()
