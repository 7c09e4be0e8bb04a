"""What the outbox has for the log: what the operator shall read, and failures of our own."""

import logging
from collections.abc import Iterable

__all__ = ["log_notices"]

_log = logging.getLogger(__name__)


def log_notices(notices: Iterable[str | Exception]) -> None:
    """Write them; a failure with its traceback."""
    for notice in notices:
        if isinstance(notice, Exception):
            _log.error("hmpshim has failed, and goes on", exc_info=notice)
        else:
            _log.warning("%s", notice)
