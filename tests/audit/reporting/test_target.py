"""What becomes of the HMP that was used on another QEMU."""

from collections.abc import Sequence

import pytest

from audit.reporting.report import CommandUse, Fate, Outlook, State, ToolUse
from audit.reporting.target import Target, foresee, parse_target
from tests.support.audit.sample_report import LIBVIRT, MULTIPASS, command_use

JOBS = "by snapshot jobs, with the proxy in front of QEMU"


def tool(*commands: CommandUse) -> ToolUse:
    return ToolUse(LIBVIRT, State.BLOCKED, (), commands, "", "", "")


def outlook(target: str, *commands: CommandUse) -> Outlook:
    return foresee([tool(*commands)], parse_target(target))


def told(found: Outlook) -> Sequence[tuple[str, str, int, str]]:
    return [(one.command, one.fate.value, one.count, one.since) for one in found.prospects]


@pytest.mark.parametrize(
    ("text", "target", "words"),
    [
        ("11.2", Target((11, 2)), "QEMU 11.2"),
        ("10.0.13", Target((10, 0)), "QEMU 10.0"),
        ("7.2", Target((7, 2)), "QEMU 7.2"),
        ("99.9", Target((99, 9)), "QEMU 99.9"),
        ("no-hmp", Target(None), "a QEMU without HMP"),
    ],
)
def test_targets(text: str, target: Target, words: str) -> None:
    assert parse_target(text) == target
    assert str(target) == words


@pytest.mark.parametrize("text", ["", "11", "v11.2", "11.2-rc1", "11.2.", "latest", "1111.2", "no_hmp"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^invalid target '{text}'; write a release of QEMU, as 11\.2, or no-hmp$"):
        parse_target(text)


def test_release_before_the_table() -> None:
    with pytest.raises(ValueError, match=r"^QEMU 6\.2 is older than what is known here: 7\.2 to 11\.2$"):
        parse_target("6.2")


def test_gone_first_then_deprecated_then_by_count() -> None:
    commands = [command_use(name, 3) for name in ("savevm", "wavcapture", "singlestep", "frobnicate")]
    found = outlook("10.2", *commands, command_use("stop", 9), command_use("info opcount", 1), command_use("cpu-add", 1))
    assert told(found) == [
        ("singlestep", "gone", 3, "9.0"),
        ("cpu-add", "gone", 1, "5.2"),
        ("info opcount", "gone", 1, "10.1"),
        ("wavcapture", "deprecated", 3, "10.2"),
        ("frobnicate", "not known", 3, ""),
        ("stop", "goes on working", 9, ""),
        ("savevm", "goes on working", 3, ""),
    ]
    assert found.is_worth_a_table
    assert [found.count(fate) for fate in Fate] == [5, 3, 3, 12]
    assert found.verdict == (
        "On QEMU 10.2, of the HMP commands that were used, 3 are gone (5 times), 1 is deprecated (3 times), "
        "1 is not known (3 times) and 2 go on working (12 times)."
    )
    assert [one.instead for one in found.prospects[:4]] == [
        "HMP's one-insn-per-tb, which QMP has no equivalent of",
        "device_add",
        "nothing: since 8.1 it had no output any more",
        "no QMP equivalent (deprecated since 10.2: use -audiodev wav, or the host's audio system)",
    ]


@pytest.mark.parametrize(
    ("target", "command", "fate", "since"),
    [
        ("8.0", "singlestep", Fate.WORKS, ""),
        ("8.1", "singlestep", Fate.DEPRECATED, "8.1"),
        ("8.2.5", "singlestep", Fate.DEPRECATED, "8.1"),
        ("9.0", "singlestep", Fate.GONE, "9.0"),
        ("12.0", "singlestep", Fate.GONE, "9.0"),
        ("10.1", "info capture", Fate.WORKS, ""),
        ("11.2", "info capture", Fate.DEPRECATED, "10.2"),
        ("9.0", "info rdma", Fate.WORKS, ""),
        ("9.1", "info rdma", Fate.GONE, "9.1"),
        ("11.2", "info network", Fate.WORKS, ""),
        ("11.2", "info nosuch", Fate.UNKNOWN, ""),
    ],
)
def test_fates_by_release(target: str, command: str, fate: Fate, since: str) -> None:
    (found,) = outlook(target, command_use(command, 1)).prospects
    assert (found.fate, found.since) == (fate, since)


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        ("8.1", ""),
        ("9.0", "not with -b or -i (deprecated since 8.2: use blockdev-mirror to an NBD export)"),
        ("9.1", "not with -b or -i (gone since 9.1: use blockdev-mirror to an NBD export)"),
    ],
)
def test_command_that_lost_options_goes_on_without_them(target: str, instead: str) -> None:
    """A record is counted by its command, so the report cannot say whether they were used."""
    found = outlook(target, command_use("migrate", 2))
    assert [(one.fate, one.instead) for one in found.prospects] == [(Fate.WORKS, instead)]
    assert found.is_worth_a_table == bool(instead)


def test_each_option_is_told() -> None:
    (found,) = outlook("11.1", command_use("migrate_set_capability", 1)).prospects
    assert found.instead == (
        "not with block (gone since 9.1: use blockdev-mirror to an NBD export); "
        "not with compress (gone since 9.1: use multifd-compression)"
    )


def test_nothing_that_breaks_is_one_sentence() -> None:
    found = outlook("11.1", command_use("stop", 2), command_use("savevm", 1), command_use("snapshot-save", 5, is_hmp=False))
    assert found.verdict == "Nothing breaks on QEMU 11.1: of the HMP commands that were used, 2 go on working (3 times)."
    assert (found.notes, found.is_worth_a_table) == ((), False)


@pytest.mark.parametrize(("target", "words"), [("11.1", "QEMU 11.1"), ("no-hmp", "a QEMU without HMP")])
def test_no_hmp_no_breakage(target: str, words: str) -> None:
    found = outlook(target, command_use("snapshot-save", 5, is_hmp=False))
    assert found.verdict == f"Nothing breaks on {words}: no HMP was used."
    assert found.prospects == ()


def test_command_of_two_tools_is_one_command() -> None:
    other = ToolUse(MULTIPASS, State.BLOCKED, (), (command_use("info rdma", 2),), "", "", "")
    found = foresee([tool(command_use("info rdma", 2)), other], Target((9, 1)))
    assert found.verdict == "On QEMU 9.1, of the HMP commands that were used, 1 is gone (4 times)."
    assert [one.tool for one in found.prospects] == [LIBVIRT, MULTIPASS]


def test_without_hmp_only_what_the_shim_did_goes_on() -> None:
    found = outlook(
        "no-hmp",
        *(command_use("savevm", 5, rewritten=5), command_use("info snapshots", 9, rewritten=4), command_use("nonsense", 1)),
        *(command_use("loadvm", 2, observed=2), command_use("stop", 3), command_use("snapshot-save", 5, is_hmp=False)),
    )
    assert [(one.command, one.fate, one.count, one.since) for one in found.prospects] == [
        ("info snapshots", Fate.GONE, 5, "11.2"),
        ("stop", Fate.GONE, 3, "11.2"),
        ("loadvm", Fate.GONE, 2, "11.2"),
        ("nonsense", Fate.GONE, 1, "11.2"),
        ("savevm", Fate.WORKS, 5, ""),
        ("info snapshots", Fate.WORKS, 4, ""),
    ]
    assert [one.instead for one in found.prospects[1:5]] == [
        "QMP's stop",
        "QMP's snapshot-load (a job; the VM stays stopped if it fails)",
        "not known",
        JOBS,
    ]
    assert found.notes == ("From 11.2 on QEMU can be built without HMP (--disable-hmp), and so without human-monitor-command.",)


def test_newest_release_is_told_how_well_it_is_known() -> None:
    of_newest = "What is known here of QEMU 11.2 dates from September 2026, before its release."
    without = "It can be built without HMP: --target no-hmp says what breaks there."
    assert outlook("11.2", command_use("stop", 1)).notes == (of_newest, without)
    assert outlook("11.2").notes == (of_newest,)
    assert outlook("11.1", command_use("stop", 1)).notes == ()


def test_release_after_the_table_is_told() -> None:
    found = outlook("12.0")
    assert found.notes[0] == "QEMU 12.0 is newer than what is known here, which ends with 11.2: more may be gone or deprecated."


def test_newest_release_that_is_out_is_known_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.reporting.target.NEWEST_AS_OF", "")
    assert outlook("11.2").notes == ()
