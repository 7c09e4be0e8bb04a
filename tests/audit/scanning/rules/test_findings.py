"""How findings are told, and what replaces them."""

import pytest

from audit.scanning.rules.findings import LOADVM_OPTION, PROMPT, Finding, advice, what_replaces


@pytest.mark.parametrize(
    ("command", "what", "instead"),
    [
        ("delvm", "delvm by x", "snapshot-delete (a job)"),
        ("info status", "info status by x", "query-status"),
        ("", "a computed command by x", "see what the command line is made of"),
        (LOADVM_OPTION, "-loadvm", "snapshot-load (start QEMU with -S; a job; then cont)"),
        (PROMPT, "an HMP prompt by x", "see what is typed there: qmp-shell without -H takes QMP's commands"),
        ("cpu", "cpu by x", "no QMP equivalent"),
        ("new", "new by x", "not known"),
    ],
)
def test_texts(command: str, what: str, instead: str) -> None:
    assert Finding(1, 1, "x", command, True, "").what == what
    assert advice(command) == instead


def test_nothing_is_known_of_a_computed_command() -> None:
    assert what_replaces("") is None
    assert what_replaces(PROMPT) is None
