"""Each error of the transport has its text and its exit status."""

import pytest

from host.errors import ConfigError
from proxy.errors import (
    AttachError,
    HandOverError,
    KeptError,
    ListenError,
    NotQMPError,
    ProxyError,
    UpgradeError,
    UpstreamError,
    first_error,
)


@pytest.mark.parametrize(
    ("error", "text", "exit_status"),
    [
        (ProxyError("a", "b"), "a: b", 1),
        (UpstreamError("unix:/q", "No such file"), "cannot connect to QEMU at unix:/q: No such file", 3),
        (NotQMPError("unix:/q", "it sent b'x'"), "unix:/q does not answer as a QMP server: it sent b'x'", 4),
        (AttachError("unix:/q", "it is old"), "cannot attach to QEMU at unix:/q: it is old", 4),
        (HandOverError("/m", "it is ending"), "cannot replace the proxy at /m: it is ending", 7),
        (UpgradeError("the proxy at /a", "no"), "cannot upgrade the proxy at /a: no", 7),
        (KeptError("a", "it is busy"), "a: cannot take it over now: it is busy", 7),
        (ListenError("unix:/l", "in use"), "cannot listen on unix:/l: in use", 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_and_exit_status(error: ProxyError, text: str, exit_status: int) -> None:
    assert str(error) == text
    assert error.exit_status == exit_status


def test_error_keeps_its_facts() -> None:
    error = UpstreamError("unix:/q", "why")
    assert (error.subject, error.reason) == ("unix:/q", "why")
    assert isinstance(error, ProxyError)


def test_error_with_a_text_of_its_own_is_the_one_to_see() -> None:
    told = ConfigError("F", 1, "key", "wrong")
    group = BaseExceptionGroup("", [RuntimeError("a"), ExceptionGroup("", [ValueError("b"), told])])
    assert first_error(group) is told
    assert first_error(told) is told
    assert isinstance(first_error(ExceptionGroup("", [ExceptionGroup("", [ValueError("b")])])), ValueError)
