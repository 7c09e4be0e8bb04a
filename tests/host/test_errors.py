"""Each error that an operator is told has its text and its exit status."""

import pytest

from host.errors import AddressError, AuditError, ConfigError, ProgramError


@pytest.mark.parametrize(
    ("error", "text", "exit_status"),
    [
        (ProgramError("a", "b"), "a: b", 1),
        (AddressError("foo", "write x"), "invalid address 'foo': write x", 2),
        (ConfigError("/c", 3, "vmstate", "why"), "/c:3: vmstate: why", 2),
        (ConfigError("/c", 0, "", "why"), "/c: why", 2),
        (AuditError("/log", "Permission denied"), "cannot write the audit log /log: Permission denied", 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_and_exit_status(error: ProgramError, text: str, exit_status: int) -> None:
    assert str(error) == text
    assert error.exit_status == exit_status
