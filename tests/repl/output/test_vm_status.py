"""The toolbar on every width, and the run state that events lead to."""

from dataclasses import replace
from typing import Final

import pytest
from prompt_toolkit.utils import get_cwidth

from repl.output.vm_status import VMStatus, policy_text, run_state_after, start_line, toolbar
from repl.settings.values import Question
from shim.graph.policy import Mode, Policy, PolicyKind
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from tests.support.shim.graphs import patterns

STATUS: Final = VMStatus("vm1", "7.2.22", "running", "auto", 3)
WIDTHS: Final = range(10, 121)


def text_of(status: VMStatus, width: int = 200, mode: str = "") -> str:
    return "".join(text for _, text in toolbar(status, mode=mode, width=width))


def style_of(status: VMStatus, text: str) -> list[str]:
    return [style for style, shown in toolbar(status, mode="", width=200) if shown == text]


ALL: Final = frozenset(Question)


@pytest.mark.parametrize(
    ("asks", "width", "said"),
    [
        (ALL, 80, "vm1: QEMU 7.2.22, policy auto. Tab completes, 'help' lists all, 'exit' leaves.\n"),
        (ALL, 50, "vm1: QEMU 7.2.22, policy auto. Tab completes,\n'help' lists all, 'exit' leaves.\n"),
        (
            ALL - {Question.LOAD, Question.QUIT},
            200,
            "vm1: QEMU 7.2.22, policy auto. Tab completes, 'help' lists all, 'exit' leaves. "
            "hmp-repl does not ask before: load, quit.\n",
        ),
    ],
)
def test_start_says_where_one_is_and_how_to_get_help(asks: frozenset[Question], width: int, said: str) -> None:
    assert "".join(text for _, text in start_line(STATUS, asks, width=width)) == said


def test_no_terminal_obeys_what_the_start_says() -> None:
    assert "\x1b" not in "".join(text for _, text in start_line(replace(STATUS, name="\x1b[2J", policy="\x1b"), ALL, width=80))


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


def test_what_is_waited_for_stands_where_the_run_state_was() -> None:
    waits = replace(STATUS, waits="waits for 'savevm a\tb' of x: 3.0 s")
    assert text_of(waits) == " vm1 │ QEMU 7.2.22 │ waits for 'savevm a\\tb' of x: 3.0 s │ policy auto │ 3 snapshots"
    assert style_of(waits, "waits for 'savevm a\\tb' of x: 3.0 s") == ["class:toolbar.stopped"]
    assert text_of(waits, 42) == " vm1 │ waits for 'savevm a\\tb' of x: 3.0 s"
    assert text_of(waits, 31) == " vm1 │ waits for 'savevm a\\tb'…"
    # In so little room the run state tells more.
    assert text_of(waits, 18) == " vm1 │ running"


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
        replace(STATUS, waits="QEMU has not answered for 日本 s; it may be saving or loading"),
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


def with_hint(width: int, hint: str = "eject [-f] device -- eject a removable medium", name: str = "vm1") -> str:
    return "".join(text for _, text in toolbar(replace(STATUS, name=name), mode="", width=width, hint=hint))


def test_hint_has_the_room_of_what_does_not_change() -> None:
    assert with_hint(100) == " vm1 │ running │ eject [-f] device -- eject a removable medium"
    assert with_hint(24) == " vm1 │ eject [-f] devic…"
    assert with_hint(7) == " eject…"


def test_hint_is_never_wider_than_the_terminal() -> None:
    for width in WIDTHS:
        shown = with_hint(width, "日本語\x1b[2J" * 20, "a-rather-long-name" * 3)
        assert get_cwidth(shown) <= width
        assert shown.isprintable()
