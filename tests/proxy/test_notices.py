"""What the outbox has for the log."""

import pytest

from proxy.relaying.notices import log_notices


def test_failures_have_their_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    log_notices(["read this", ZeroDivisionError("ours")])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "read this"),
        ("ERROR", "hmpshim has failed, and goes on"),
    ]
    assert "ZeroDivisionError: ours" in caplog.text
