"""Each error of the prompt's connection has its text and its exit status."""

import pytest

from host.errors import ProgramError
from repl.errors import ExitStatus, LinkError, LostError


@pytest.mark.parametrize(
    ("error", "text", "exit_status"),
    [
        (LinkError("unix:/q", "No such file"), "cannot connect to QEMU at unix:/q: No such file", 3),
        (LostError("unix:/q", "QEMU closed it"), "the connection to QEMU at unix:/q is lost: QEMU closed it", 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_and_exit_status(error: LinkError, text: str, exit_status: int) -> None:
    assert str(error) == text
    assert error.exit_status == exit_status
    assert isinstance(error, ProgramError)


def test_exit_statuses() -> None:
    """130 and 143 are a shell's own for a program that SIGINT or SIGTERM ended."""
    assert [(status.name, status.value) for status in ExitStatus] == [
        ("OK", 0),
        ("COMMAND_FAILED", 1),
        ("WRONG_USE", 2),
        ("NO_CONNECTION", 3),
        ("INTERRUPTED", 130),
        ("TERMINATED", 143),
    ]
