"""What the router has to tell the operator."""

import logging
from collections.abc import Sequence

__all__ = ["log_notices"]

_log = logging.getLogger(__name__)


def log_notices(notices: Sequence[str | Exception]) -> None:
    """Log texts as warnings, and failures of our own as errors with their tracebacks."""
    for notice in notices:
        if isinstance(notice, Exception):
            _log.error("hmpshim has failed, and goes on: please report this", exc_info=notice)
        else:
            _log.warning("%s", notice)
