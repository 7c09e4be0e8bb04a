"""The toolbar on every width, and the run state that events lead to."""

from dataclasses import replace
from typing import Final

import pytest
from prompt_toolkit.utils import get_cwidth

from repl.output.vm_status import VMStatus, policy_text, run_state_after, toolbar
from shim.hmp import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.policy import Mode, Policy, PolicyKind
from tests.support.graphs import patterns

STATUS: Final = VMStatus("vm1", "7.2.22", "running", "auto", 3)
WIDTHS: Final = range(10, 121)


def text_of(status: VMStatus, width: int = 200, mode: str = "") -> str:
    return "".join(text for _, text in toolbar(status, mode=mode, width=width))


def style_of(status: VMStatus, text: str) -> list[str]:
    return [style for style, shown in toolbar(status, mode="", width=200) if shown == text]


def test_all_that_is_known() -> None:
    assert text_of(STATUS) == " vm1 │ QEMU 7.2.22 │ running │ policy auto │ 3 snapshots"
    assert text_of(STATUS, mode="vi insert") == " vm1 │ QEMU 7.2.22 │ running │ policy auto │ 3 snapshots │ vi insert"


def test_one_snapshot_is_one() -> None:
    assert "│ 1 snapshot" in text_of(replace(STATUS, snapshot_count=1))
    assert not text_of(replace(STATUS, snapshot_count=1)).endswith("s")
    assert "0 snapshots" in text_of(replace(STATUS, snapshot_count=0))


def test_what_is_not_known_yet() -> None:
    assert text_of(VMStatus("", "7.2.22", None, "auto", None)) == " … │ QEMU 7.2.22 │ … │ policy auto │ … snapshots"


def test_lost_connection_stands_where_the_run_state_was() -> None:
    assert " │ not connected │ " in text_of(replace(STATUS, is_connected=False))
    assert "running" not in text_of(replace(STATUS, is_connected=False))


def test_vm_that_runs_looks_other_than_one_that_does_not() -> None:
    assert style_of(STATUS, "running") == ["class:toolbar.running"]
    assert style_of(replace(STATUS, run_state="paused"), "paused") == ["class:toolbar.stopped"]
    assert style_of(replace(STATUS, is_connected=False), "not connected") == ["class:toolbar.stopped"]


@pytest.mark.parametrize(
    "status",
    [
        STATUS,
        replace(STATUS, name="unix:/run/libvirt/qemu/a-rather-long-name/monitor.sock"),
        replace(STATUS, name="日本語の仮想マシン" * 3),
        replace(STATUS, name="a\nb\tc\x1b[2J"),
        replace(STATUS, is_connected=False, policy="hmp vmstate kind:pflash +a -b enforce"),
        VMStatus("", "11.1.0", None, "auto", None),
    ],
    ids=lambda status: status.name[:12],
)
def test_toolbar_is_never_wider_than_the_terminal(status: VMStatus) -> None:
    for width in WIDTHS:
        shown = text_of(status, width, "vi navigation")
        assert get_cwidth(shown) <= width
        assert shown.isprintable()


def test_what_is_least_needed_goes_first() -> None:
    kept = {
        tuple(word for word in ("vm1", "running", "snapshots", "QEMU", "policy", "vi") if word in text_of(STATUS, width, "vi"))
        for width in WIDTHS
    }
    importance = ("vm1", "running", "snapshots", "QEMU", "policy", "vi")
    assert kept == {importance[:count] for count in range(1, 7)}


def test_wider_terminal_never_shows_less() -> None:
    lengths = [len(text_of(STATUS, width, "vi insert")) for width in WIDTHS]
    assert lengths == sorted(lengths)


# -- run states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "event", "during", "after"),
    [
        ("running", "STOP", None, "paused"),
        ("paused", "RESUME", None, "running"),
        ("running", "STOP", SaveVM("t"), "save-vm"),
        ("running", "STOP", SaveVM(None), "save-vm"),
        ("running", "STOP", LoadVM("t"), "restore-vm"),
        ("running", "STOP", DelVM("t"), "paused"),
        ("running", "STOP", InfoSnapshots(), "paused"),
        ("save-vm", "RESUME", SaveVM("t"), "running"),
        ("running", "SHUTDOWN", None, "shutdown"),
        ("running", "SUSPEND", None, "suspended"),
        ("suspended", "WAKEUP", None, "running"),
        ("running", "GUEST_PANICKED", None, "guest-panicked"),
        ("running", "RTC_CHANGE", None, "running"),
        (None, "RTC_CHANGE", None, None),
        (None, "STOP", None, "paused"),
    ],
)
def test_run_state_after(before: str | None, event: str, during: HMPCommand | None, after: str | None) -> None:
    assert run_state_after(before, event, during) == after


# -- policies -------------------------------------------------------------------------------------------------------------


def test_policy_in_a_few_words() -> None:
    assert policy_text(Policy()) == "auto"
    assert policy_text(Policy(kind=PolicyKind.HMP, mode=Mode.OBSERVE)) == "hmp observe"
    chosen = Policy(vmstate=patterns("d0", "d1"), include=patterns("extra"), exclude=patterns("kind:raw"), mode=Mode.ENFORCE)
    assert policy_text(chosen) == "auto vmstate d0 +extra -kind:raw enforce"
