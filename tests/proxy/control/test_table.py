"""How VMs are, for people."""

from dataclasses import replace

import pytest

from proxy.control.status import PatternStatus, PauseStatus, State, VMStatus
from proxy.control.table import as_table, clients_table, count_of, span
from proxy.routing.vm_history import DeprecatedUse
from tests.support.processes.vm_statuses import BUSY, OFF, OLD, TOOL

RUNNING = r"savevm nightly\x1b (1m15s, /usr/bin/tool (pid 5, uid 0))"


def test_table_has_a_row_for_each_vm() -> None:
    state = "served, paused 1m01s, 30s left"
    assert as_table([BUSY, OFF]).splitlines() == [
        f"VM         {'STATE':30}  QEMU     POLICY  MODE     CLIENTS  WAITING  COMMANDS  DONE  FAILED  RUNNING",
        f"a          {state:30}  10.0.13  auto    rewrite  2        1        34k       12    3       {RUNNING}",
        f"long-name  {'waited for':30}           hmp     observe  0        0        0         0     0",
        "",
        r"long-name: nobody\nis there",
        "",
        r"a: 2026-11-29T01:02:04+00:00: 'loadvm \x1b' of /usr/bin/tool (pid 5, uid 0): Error: not found (4 times)",
    ]


def test_one_vm_has_all_there_is() -> None:
    tool_name = {TOOL: "a\x1b.py", OLD: ""}.__getitem__
    assert as_table([BUSY, OFF], "a", user_name={0: "root"}.__getitem__, tool_name=tool_name).splitlines()[2:] == [
        "",
        "bytes from clients       1000  from QEMU         2000k",
        "queued for clients       5     queued for QEMU   7",
        "queued from clients      6     records to write  2",
        "clients so far           4     disconnected      1",
        "clients refused          5     commands passed   34k",
        "connected to QEMU again  8     records lost      9",
        "",
        "CLIENT  PID  USER  TOOL      PROGRAM         SINCE  AT       WAITS FOR",
        r"3       5    root  a\x1b.py  /usr/bin/tool   1h02m  unix:/l  its own snapshot command",
        "1                            tcp:10.0.0.1:5  2d07h",
        "",
        "LAST FAILURES",
        "a: 2026-11-29T01:02:03+00:00: 'loadvm no' of /usr/bin/tool (pid 5, uid 0): Error: not found",
        r"a: 2026-11-29T01:02:04+00:00: 'loadvm \x1b' of /usr/bin/tool (pid 5, uid 0): Error: not found (4 times)",
        "",
        "STILL USED",
        "/usr/bin/tool  savevm  12 times  use snapshot-save",
        "/usr/bin/tool  x       3 times",
    ]
    with pytest.raises(KeyError):
        as_table([BUSY], "b")


def test_what_was_once_is_told_so() -> None:
    once = replace(BUSY, deprecated=((DeprecatedUse("/usr/bin/tool", "savevm", "snapshot-save"), 1),))
    assert as_table([once], "a").splitlines()[-1] == "/usr/bin/tool  savevm  once  use snapshot-save"


def test_what_there_is_none_of_is_left_out() -> None:
    shown = as_table([VMStatus("a", "unix:/q", State.SERVED)], "a")
    assert "FAILURES" not in shown
    assert "USED" not in shown


def test_clients_of_several_vms_say_which() -> None:
    unknown = replace(TOOL, program=None, pid=None, uid=None, number=9)
    assert clients_table([BUSY, replace(OFF, clients=(unknown,))], names_vm=True).splitlines() == [
        "VM         CLIENT  PID  USER  TOOL  PROGRAM         SINCE  AT       WAITS FOR",
        "a          3       5    0           /usr/bin/tool   1h02m  unix:/l  its own snapshot command",
        "a          1                        tcp:10.0.0.1:5  2d07h",
        "long-name  9                        unknown         1h02m  unix:/l  its own snapshot command",
    ]


def test_pause_without_a_limit() -> None:
    assert "served, paused 5s  " in as_table([replace(BUSY, pause=PauseStatus(5.0, None))])


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0s"), (59.9, "59s"), (60, "1m00s"), (3600, "1h00m"), (86400, "1d00h")])
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (9999, "9999"), (10_000, "10k"), (9_999_999, "9999k"), (10**18, "1000000T")]
)
def test_numbers_are_short(number: int, shown: str) -> None:
    assert count_of(number) == shown


def test_patterns_that_fit_nothing_are_shown() -> None:
    """Of the policy, which fit no node, and of `discover`, which fit no socket."""
    off = VMStatus("a", "unix:/q", State.WAITED_FOR, "nobody is there", unmatched=("exclude: 'x' matches no block node",))
    patterns = [
        PatternStatus("/run/a/*", 0),
        PatternStatus("/run/b/*", 2, ("/run/b/x: why",)),
        PatternStatus("/run/c/*", 1),
        PatternStatus("/run/d/*", 0, ("why not",)),
    ]
    assert as_table([off], patterns=patterns).splitlines()[2:] == [
        "",
        "a: nobody is there",
        "a: exclude: 'x' matches no block node",
        "",
        "discover /run/a/*: it fits no socket",
        "discover /run/b/*: /run/b/x: why",
        "discover /run/d/*: why not",
    ]


def test_logs_that_lack_records_are_shown_once_each() -> None:
    trouble = "18 records lost: cannot write the audit log /log: No space left on device"
    first = VMStatus("a", "unix:/q", State.SERVED, audit="/log", audit_trouble=trouble)
    second, other = replace(first, name="b"), replace(first, name="c", audit="/other", audit_trouble="1 record lost: why\n")
    assert as_table([first, other]).splitlines()[3:] == ["", f"a: {trouble}", r"c: 1 record lost: why\n"]
    assert as_table([first, second, other]).splitlines()[4:] == ["", f"a and 1 more: {trouble}", r"c: 1 record lost: why\n"]
    assert as_table([first, second], "b").splitlines()[2:4] == ["", f"b: {trouble}"]
