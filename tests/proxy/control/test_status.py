"""How VMs are, for programs."""

import json
from dataclasses import asdict

import pytest

from proxy.control.status import PatternStatus, read_patterns, read_status
from tests.support.processes.vm_statuses import BUSY, OFF, as_told


def test_what_a_program_is_told_can_be_read_again() -> None:
    told = json.loads(json.dumps(as_told(BUSY, OFF)))
    assert read_status(told) == [BUSY, OFF]
    assert (told["vms"][0]["state"], told["vms"][0]["clients"][0]["waits_for"]) == ("served", "its own snapshot command")


@pytest.mark.parametrize("told", [[], {}, {"vms": [{}]}, {"vms": 5}, {"vms": [{"state": "x", "clients": [], "running": None}]}])
def test_what_is_no_status_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match="this is not the status of hmp-proxy"):
        read_status(told)


def test_patterns_of_discover_can_be_read_again() -> None:
    patterns = [PatternStatus("/run/a/*", 0), PatternStatus("/run/b/*", 2, ("/run/b/x: why",))]
    told = json.loads(json.dumps({"vms": [], "discover": [asdict(pattern) for pattern in patterns]}))
    assert read_patterns(told) == patterns
    assert read_patterns({"vms": []}) == []
    wrongs: list[object] = [[], {"discover": [{}]}, {"discover": 5}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="status"):
            read_patterns(wrong)


def test_state_that_is_not_known_is_refused() -> None:
    told = as_told(OFF)
    told["vms"][0]["state"] = "upside down"
    with pytest.raises(ValueError, match="State"):
        read_status(told)


def test_snapshot_commands_are_counted_by_how_they_ended() -> None:
    assert (BUSY.count("ok"), BUSY.count("failed", "unknown"), OFF.count("ok")) == (12, 3, 0)
