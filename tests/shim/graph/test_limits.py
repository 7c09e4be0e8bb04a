"""Which tags are left alone, and what is known of a command by its words alone."""

from typing import Any, Final

import pytest

from shim.graph.limits import (
    against_line,
    against_long_tag,
    against_modern,
    against_tag,
    is_limited,
    is_protected,
    without_survey,
)
from shim.graph.policy import Policy, WhenFull
from shim.hmp.line import DelVM, HMPCommand, HMPLine, InfoSnapshots, LoadVM, SaveVM

GOLDEN: Final = Policy(protect=frozenset({"golden*", "base"}))
SECRET: Final = Policy(protect_load=frozenset({"secret*"}))
FULL: Final = Policy(max_snapshots=3, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")
SPACE: Final = Policy(check_space=True)
LONG: Final = "é" * 600


@pytest.mark.parametrize(
    ("tag", "patterns", "expected"),
    [
        ("golden", ("golden*",), True),
        ("golden-1", ("golden*",), True),
        ("my golden", ("golden*",), False),
        ("Golden", ("golden*",), False),
        ("a\nb", ("a*b",), True),
        ("", ("*",), True),
        ("", ("",), True),
        ("t", ("",), False),
        ("t1", ("t?",), True),
        ("ta", ("t[ab]",), True),
        ("t[ab]", ("t[ab]",), True),
        ("t", (), False),
        ("b", ("a", "b"), True),
    ],
)
def test_tag_is_protected_by_a_pattern_for_the_whole_of_it(tag: str, patterns: tuple[str, ...], expected: bool) -> None:
    assert is_protected(tag, patterns) is expected


@pytest.mark.parametrize(
    ("policy", "limited"),
    [
        (Policy(), ()),
        (GOLDEN, (SaveVM, DelVM)),
        (SECRET, (LoadVM,)),
        (FULL, (SaveVM,)),
        (SPACE, (SaveVM,)),
    ],
    ids=["none", "protect", "protect_load", "max_snapshots", "check_space"],
)
def test_commands_that_may_be_limited(policy: Policy, limited: tuple[type[Any], ...]) -> None:
    commands: list[HMPCommand] = [SaveVM("t"), SaveVM(None), LoadVM("t"), DelVM("t"), InfoSnapshots()]
    assert [is_limited(command, policy) for command in commands] == [type(command) in limited for command in commands]
    assert not is_limited(None, policy)


@pytest.mark.parametrize(
    ("command", "policy", "text"),
    [
        (SaveVM("golden"), GOLDEN, "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"),
        (
            DelVM("base"),
            GOLDEN,
            "snapshot 'base' is protected (setting protect), so it is not deleted; take it out of protect to delete it",
        ),
        (LoadVM("golden"), GOLDEN, None),
        (SaveVM("t"), GOLDEN, None),
        (SaveVM(None), GOLDEN, None),
        (DelVM("t"), GOLDEN, None),
        (InfoSnapshots(), GOLDEN, None),
        (
            LoadVM("secret1"),
            SECRET,
            "snapshot 'secret1' may not be loaded (setting protect_load); take it out of protect_load to load it",
        ),
        (LoadVM("t"), SECRET, None),
        (SaveVM("secret1"), SECRET, None),
        (DelVM("secret1"), SECRET, None),
    ],
)
def test_tag_that_a_command_may_not_touch(command: HMPCommand, policy: Policy, text: str | None) -> None:
    assert against_tag(command, policy) == text


def test_load_of_another_snapshot_counts_as_one_of_that() -> None:
    assert (
        against_tag(LoadVM("3"), SECRET, ["t", "secret"])
        == "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it"
    )
    assert against_tag(LoadVM("3"), SECRET, ["t"]) is None


@pytest.mark.parametrize("policy", [GOLDEN, FULL, SPACE], ids=["protect", "max_snapshots", "check_space"])
def test_tag_that_qemu_would_cut_is_not_saved_under_a_limit(policy: Policy) -> None:
    assert against_long_tag("x" * 255, policy) is None
    assert against_long_tag("x" * 256, policy) == (
        "QEMU would cut the tag to 255 bytes, so no limit on snapshots could be enforced; use a shorter one"
    )
    assert against_long_tag("é" * 128, policy) is not None
    assert against_long_tag("x" * 256, Policy()) is None


@pytest.mark.parametrize("policy", [Policy(), SECRET], ids=["none", "protect_load"])
@pytest.mark.parametrize("line", [f"savevm {LONG}", "savevm a b", "savevm t", "info block", ""])
def test_line_without_a_limit_on_it_is_left_to_qemu(policy: Policy, line: str) -> None:
    assert against_line(HMPLine.read(line), policy) is None


def test_line_that_qemu_would_cut_within_a_character_is_refused() -> None:
    line = HMPLine.read(f"savevm {LONG}")
    assert line.command is None
    assert against_line(line, FULL) == against_long_tag(LONG, FULL) is not None


@pytest.mark.parametrize("line", [f"savevm x{LONG}", "savevm a b", f"delvm {LONG}", f"loadvm {LONG}", f"info {LONG}"])
def test_line_that_saves_nothing_or_has_a_plan_is_not_refused(line: str) -> None:
    assert against_line(HMPLine.read(line), FULL) is None


@pytest.mark.parametrize(
    ("command", "policy", "text"),
    [
        (SaveVM("golden"), GOLDEN, "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"),
        (
            DelVM("golden"),
            GOLDEN,
            "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it",
        ),
        (
            LoadVM("secret"),
            SECRET,
            "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it",
        ),
        (LoadVM("3"), SECRET, "'3' may be the id of a snapshot that may not be loaded (setting protect_load): no"),
        (SaveVM("t"), FULL, "the snapshots cannot be counted, which the setting max_snapshots requires: no"),
        (SaveVM(None), FULL, "the snapshots cannot be counted, which the setting max_snapshots requires: no"),
        (SaveVM("x" * 256), GOLDEN, against_long_tag("x" * 256, GOLDEN)),
        (SaveVM("t"), GOLDEN, None),
        (SaveVM("t"), SPACE, None),
        (DelVM("3"), GOLDEN, None),
        (LoadVM("t"), SECRET, None),
        (LoadVM("3"), GOLDEN, None),
        (InfoSnapshots(), FULL, None),
    ],
)
def test_command_on_disks_that_nobody_could_look_at(command: HMPCommand, policy: Policy, text: str | None) -> None:
    assert without_survey(command, policy, "no") == text


SYNC: Final = "blockdev-snapshot-delete-internal-sync"
DELETED: Final = "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it"


@pytest.mark.parametrize(
    ("execute", "arguments", "text"),
    [
        ("snapshot-delete", {"job-id": "j", "tag": "golden", "devices": ["a"]}, DELETED),
        ("snapshot-delete", {"job-id": "j", "tag": "t", "devices": ["a"]}, None),
        ("snapshot-delete", {"tag": 1}, None),
        ("snapshot-delete", None, None),
        (SYNC, {"device": "d0", "name": "golden"}, DELETED),
        (SYNC, {"device": "d0", "name": "golden", "id": "1"}, DELETED),
        (SYNC, {"device": "d0", "name": "t", "id": "1"}, None),
        (
            SYNC,
            {"device": "d0", "id": "1"},
            "an id does not tell whether the snapshot is protected (setting protect); give its name too",
        ),
        (SYNC, {"device": "d0"}, None),
        ("snapshot-save", {"job-id": "j", "tag": "golden", "vmstate": "a", "devices": ["a"]}, None),
        ("snapshot-load", {"job-id": "j", "tag": "golden", "vmstate": "a", "devices": ["a"]}, None),
        ("transaction", {"actions": []}, None),
    ],
)
def test_qmps_own_commands(execute: str, arguments: dict[str, Any] | None, text: str | None) -> None:
    message: dict[str, Any] = {"execute": execute} | ({} if arguments is None else {"arguments": arguments})
    assert against_modern(message, GOLDEN) == text
    assert against_modern(message, Policy()) is None
