"""The command lines that ask a running proxy."""

import pytest

from proxy.command_line import ask
from proxy.command_line.invocations import StatusInvocation


@pytest.mark.parametrize(
    ("words", "invocation"),
    [
        ("", StatusInvocation(None, None, as_json=False)),
        ("vm1 --json", StatusInvocation(None, "vm1", as_json=True)),
        ("--control /c", StatusInvocation("/c", None, as_json=False)),
    ],
)
def test_status_is_asked_for(words: str, invocation: StatusInvocation) -> None:
    assert ask.parse_status(words.split()) == invocation
