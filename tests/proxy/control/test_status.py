"""How VMs are, for programs and for people."""

import json

import pytest

from proxy.control.status import (
    ClientStatus,
    PatternStatus,
    RunningCommand,
    State,
    VMStatus,
    as_json,
    as_table,
    read_patterns,
    read_status,
)

TOOL = ClientStatus("/usr/bin/tool (pid 5, uid 0)", "unix:/l", 3725.0, waits=True)
OLD = ClientStatus("10.0.0.1:5", None, 200_000.0, waits=False)
SAVING = RunningCommand("savevm nightly\x1b", "/usr/bin/tool (pid 5, uid 0)", 75.4)
BUSY = VMStatus("a", "unix:/q", State.SERVED, None, "10.0.13", "auto", "rewrite", (TOOL, OLD), SAVING)
OFF = VMStatus("long-name", "unix:/q2", State.WAITED_FOR, "nobody\nis there", policy="hmp", mode="observe")


def test_table_has_a_row_for_each_vm() -> None:
    assert as_table([BUSY, OFF]).splitlines() == [
        "VM         STATE       QEMU     POLICY  MODE     CLIENTS  RUNNING",
        r"a          served      10.0.13  auto    rewrite  2        savevm nightly\x1b (1m15s, /usr/bin/tool (pid 5, uid 0))",
        "long-name  waited for           hmp     observe  0",
        "",
        r"long-name: nobody\nis there",
    ]


def test_one_vm_has_its_clients() -> None:
    assert as_table([BUSY, OFF], "a").splitlines()[2:] == [
        "",
        "CLIENT                        SINCE  AT",
        "/usr/bin/tool (pid 5, uid 0)  1h02m  unix:/l  waits",
        "10.0.0.1:5                    2d07h",
    ]
    with pytest.raises(KeyError):
        as_table([BUSY], "b")


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0s"), (59.9, "59s"), (60, "1m00s"), (3600, "1h00m"), (86400, "1d00h")])
def test_durations_are_short(seconds: float, shown: str) -> None:
    client = ClientStatus("x", None, seconds, waits=False)
    assert as_table([VMStatus("a", "q", State.ENDING, clients=(client,))], "a").splitlines()[-1] == f"x       {shown}"


def test_what_a_program_is_told_can_be_read_again() -> None:
    told = json.loads(json.dumps(as_json([BUSY, OFF])))
    assert read_status(told) == [BUSY, OFF]
    assert told["vms"][0]["state"] == "served"


@pytest.mark.parametrize("told", [[], {}, {"vms": [{}]}, {"vms": 5}, {"vms": [{"state": "x", "clients": [], "running": None}]}])
def test_what_is_no_status_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match=r"status|State"):
        read_status(told)


def test_patterns_that_fit_nothing_are_shown() -> None:
    """Of the policy, which fit no node, and of `discover`, which fit no socket."""
    off = VMStatus("a", "unix:/q", State.WAITED_FOR, "nobody is there", unmatched=("exclude: 'x' matches no block node",))
    patterns = [PatternStatus("/run/a/*", 0), PatternStatus("/run/b/*", 2, ("/run/b/x: why",)), PatternStatus("/run/c/*", 1)]
    assert as_table([off], patterns=patterns).splitlines()[2:] == [
        "",
        "a: nobody is there",
        "a: exclude: 'x' matches no block node",
        "",
        "discover /run/a/*: it fits no socket",
        "discover /run/b/*: /run/b/x: why",
    ]
    told = json.loads(json.dumps(as_json([off], patterns)))
    assert (read_status(told), read_patterns(told)) == ([off], patterns)
    assert read_patterns({"vms": []}) == []
    wrongs: list[object] = [[], {"discover": [{}]}, {"discover": 5}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="status"):
            read_patterns(wrong)
