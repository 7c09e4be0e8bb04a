"""What is the same thing in two reports."""

from audit.reporting.keys import (
    failure_key,
    fingerprint,
    overwriting_key,
    place_key,
    silent_key,
    switch_key,
    use_key,
)


def test_things_of_different_kinds_are_never_the_same() -> None:
    keys = [
        *(use_key("a", "b"), silent_key("a", "b"), overwriting_key("a", "b")),
        *(failure_key("a", "b"), switch_key("a"), place_key("a", "b", "c")),
    ]
    assert len({fingerprint(key) for key in keys}) == len(keys)


def test_fingerprint_stays_the_same_for_ever() -> None:
    """Programs that have seen a finding know it by this."""
    assert fingerprint(use_key("/bin/tool", "savevm")) == "372e8d9a9fdd4b2a65b8b7c0edbb0c4c"
