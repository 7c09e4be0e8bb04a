"""What the operator is told by the router."""

import logging

import pytest

from proxy.relaying.notices import log_notices


def test_notices_are_warnings_and_failures_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    log_notices(["an internal tag was left", ValueError("x")])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "an internal tag was left"),
        (logging.ERROR, "hmpshim has failed, and goes on: please report this"),
    ]
