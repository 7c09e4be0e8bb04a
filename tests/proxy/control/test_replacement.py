"""The process that takes over, for programs and for people."""

import json

import pytest

from proxy.control.replacement import ReplacementStatus, lines_of, members_of, read_replacement

TAKES_OVER = ReplacementStatus(12, "9.9", 185.0, (("a", "TLS"), ("b", "it is\x1b paused"), ("c", "TLS")))


def test_what_a_program_is_told_can_be_read_again() -> None:
    for replacement in (TAKES_OVER, ReplacementStatus(None, "9.9", 0.0), None):
        told = json.loads(json.dumps({"replaced_by": members_of(replacement)}))
        assert read_replacement(told) == replacement
    assert members_of(TAKES_OVER, vm="c") == {
        "pid": 12,
        "version": "9.9",
        "for_s": 185.0,
        "waits_for": [{"vm": "c", "why": "TLS"}],
    }


def test_older_process_tells_nothing_of_it() -> None:
    assert read_replacement({"version": "0.1.0", "pid": 5, "vms": []}) is None


@pytest.mark.parametrize("wrong", [[], {"replaced_by": 5}, {"replaced_by": {"pid": 5}}, {"replaced_by": {"waits_for": [{}]}}])
def test_what_is_no_status_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="this is not the status of hmp-proxy"):
        read_replacement(wrong)


def test_people_see_who_it_is_and_what_it_waits_for() -> None:
    assert lines_of(None) == []
    assert lines_of(ReplacementStatus(None, "9.9", 1.0)) == ["hmpshim 9.9 has been taking over for 1s"]
    assert lines_of(TAKES_OVER) == [
        "hmpshim 9.9 (pid 12) has been taking over for 3m05s",
        "not handed over yet: a, c: TLS",
        r"not handed over yet: b: it is\x1b paused",
    ]
