"""Observed commands, grouped by why they are not plainly the same."""

from typing import Any

from audit.counting.filters import Filters
from audit.counting.switch_tally import EXAMPLES, SwitchTally
from audit.counting.tally import Tally
from audit.reporting.parties import VM, Tool
from audit.reporting.switch import Agreement, Example, Switch, VMSwitch
from tests.support.audit.audit_records import a_record, observed

CANNOT = "Error: Device 'd9' is writable but does not support snapshots\r\n"
TOOL = Tool("tool", "", "1000")


def counted(*records: dict[str, Any]) -> Switch:
    tally = Tally(Filters())
    for record in records:
        tally.add(record)
    found = tally.switch.result()
    assert found is not None
    return found


def test_nothing_observed_is_nothing_to_say() -> None:
    tally = Tally(Filters())
    tally.add(a_record())
    tally.add(a_record("stop", action="passed"))
    assert tally.switch.result() is SwitchTally().result() is None


def test_counts_by_vm() -> None:
    found = counted(
        *(observed(), observed(vm="a"), observed(vm="a", hmp=CANNOT), observed(vm="a", hmp=None)),
        observed(vm="a", nodes=[{"node": "n", "device": None, "included": False, "reason": "excluded"}]),
    )
    assert found.vms == (VMSwitch(VM("h1", "a"), 4, 2, 1, 1), VMSwitch(VM("h1", "vm1"), 1, 1, 0, 0))
    assert (found.observed, found.same, found.elsewhere) == (5, 3, 1)


def test_reasons_are_in_order_of_what_they_mean_and_then_the_newest_first() -> None:
    found = counted(
        *(observed(hmp=None, day=9), observed("loadvm t1", CANNOT, day=2), observed("savevm x", "", CANNOT, day=3)),
        observed("loadvm t2", CANNOT, day=1),
    )
    told = [(one.agreement, one.count, one.first[:10], one.last[:10]) for one in found.contrasts]
    assert told == [
        (Agreement.DIFFERS, 1, "2026-11-03", "2026-11-03"),
        (Agreement.DIFFERS, 2, "2026-11-01", "2026-11-02"),
        (Agreement.UNKNOWN, 1, "2026-11-09", "2026-11-09"),
    ]
    assert [example.command_line for example in found.contrasts[1].examples] == ["loadvm t1", "loadvm t2"]
    assert found.contrasts[0].examples == (
        Example("2026-11-03T10:00:00.000000Z", VM("h1", "vm1"), TOOL, "savevm x", "", CANNOT.strip()),
    )


def test_latest_examples_are_kept_whatever_order_the_logs_come_in() -> None:
    days = [3, 9, 1, 8, 2, 7, 4, 6, 5]
    (found,) = counted(*(observed(f"loadvm {'x' * 200}", hmp=CANNOT, day=day) for day in days)).contrasts
    assert [example.time[8:10] for example in found.examples] == ["09", "08", "07", "06", "05"]
    assert (found.count, len(found.examples), len(found.examples[0].command_line)) == (9, EXAMPLES, 100)


def test_examples_of_one_moment_are_in_their_order() -> None:
    (found,) = counted(*(observed(f"loadvm {name}", hmp=CANNOT) for name in "ab")).contrasts
    assert [example.command_line for example in found.examples] == ["loadvm b", "loadvm a"]


def test_reasons_beyond_a_limit_are_counted_together() -> None:
    records = [observed("savevm t", f"Error: disk {number}\r\n") for number in range(203)]
    found = counted(*records, records[0]).contrasts
    counts = {one.why: one.count for one in found}
    assert (len(counts), counts["(other reasons)"]) == (201, 3)
    assert counts["HMP failed at what cannot be predicted: Error: disk 0"] == 2
