"""The record's own words, and what it tells of itself; tests/shim/records/test_audit_form.py has its JSON form."""

from shim.records.audit import Action, SeenEvent, stopped_ns


def test_actions_have_these_words() -> None:
    assert [action.value for action in Action] == [
        *("rewritten", "passed", "refused", "observed", "recovered"),
        *("modern", "begun", "went_on", "abandoned", "delegated"),
    ]


def test_vm_that_was_not_started_again_stood_still_to_the_end() -> None:
    events = [SeenEvent("STOP", 10), SeenEvent("RESUME", 30), SeenEvent("STOP", 50)]
    assert stopped_ns(events, 100) == 20 + 50
    assert stopped_ns([], 100) == 0
