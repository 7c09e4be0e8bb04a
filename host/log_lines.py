"""How a program's own log is written: a message is one line, and no terminal obeys what is in it.

Names of executables, paths and QEMU's texts are others' words. With a line end in one of them, somebody could forge a line of
the log; with an escape sequence, hide one on the screen of whoever reads it, or in journald's and syslog's files.
"""

import logging
from types import TracebackType
from typing import TypeAlias

from shim.printable import printable

__all__ = ["LogLines", "write_log"]

_ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
# Before each line of a traceback, so that none looks like a message.
_MARGIN = "    | "


class LogLines(logging.Formatter):
    """Spell messages by escapes where they are not printable, and indent tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _ExceptionInfo) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


def write_log(program: str) -> None:
    """Have what is logged go to standard error, each line with the program's name before it."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(f"{program}: %(message)s"))
    logging.basicConfig(handlers=[handler])


def _indented(text: str) -> str:
    return "\n".join(f"{_MARGIN}{printable(line)}" for line in text.split("\n"))
