"""How a program's own log is written: each message is one line that names its VM, with nothing in it that a terminal obeys.

Names of executables, paths and QEMU's texts come from others. With a newline in one of them, somebody could forge a line of the
log; with an escape sequence, hide a line on the screen of whoever reads it, or in the files of journald and syslog.

The VM that a message is about is a context variable, because it is the same for everything done for a VM: its task, and the
callbacks that follow from it (asyncio runs each in the context in which it was created). A message never names that VM itself:
each format puts the name where it belongs.
"""

import json
import logging
import os
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TypeAlias

from shim.printable import printable

__all__ = ["LogLines", "LogObjects", "VMLabel", "about_vm", "log_ordinary_news", "write_log"]

_ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
# Put before each line of a traceback, so that none looks like a message.
_MARGIN = "    | "
# sd-daemon(3), SD_ERR and its like. The journal takes a line without a prefix as information.
_PRIORITIES: Final = {logging.ERROR: "<3>", logging.WARNING: "<4>", logging.INFO: "<6>", logging.DEBUG: "<7>"}
_INFORMATION: Final = "<6>"


@dataclass(slots=True)
class VMLabel:
    """A VM's name in the log; "" for none. It can change while the VM is served, for everything done for the VM."""

    text: str


_vm: Final = ContextVar("vm", default=VMLabel(""))  # noqa: B039 - nobody changes this one


class about_vm:  # used as a function; a generator for each of a thousand VMs is a lot
    """Mark what is logged as being about a VM, here and in the tasks and callbacks that are created here."""

    __slots__ = ("_before", "_label")

    def __init__(self, label: VMLabel | str) -> None:
        self._label = VMLabel(label) if isinstance(label, str) else label

    def __enter__(self) -> None:
        self._before = _vm.set(self._label)

    def __exit__(self, *_: object) -> None:
        _vm.reset(self._before)


class LogLines(logging.Formatter):
    """Lines for people. for_journal: begin each line with its priority. Tracebacks are indented."""

    def __init__(self, program: str, *, for_journal: bool = False) -> None:
        super().__init__(f"{program}: %(message)s")
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._for_journal:
            return text
        priority = _PRIORITIES.get(record.levelno, _INFORMATION)
        return "\n".join(f"{priority}{line}" for line in text.split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:
        vm = _vm.get().text
        record.message = printable(f"{vm}: {record.message}" if vm else record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _ExceptionInfo) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


class LogObjects(logging.Formatter):
    """Lines for programs: a JSON object each, with the time in UTC, and the VM if there is one.

    The members of what a caller of logging passes as `extra={"members": ...}` are members of the object, too.
    """

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "program": self._program,
        }
        if vm := _vm.get().text:
            said["vm"] = vm
        said["message"] = record.getMessage()
        said |= getattr(record, "members", {})
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said)


def write_log(program: str, *, as_json: bool = False) -> None:
    """Send the log to standard error. Another call changes its format."""
    formatter = LogObjects(program) if as_json else LogLines(program, for_journal=_is_journal())
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LogLines | LogObjects):
            handler.setFormatter(formatter)
            return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler])


def log_ordinary_news(*, is_verbose: bool) -> None:
    """Log news, too, not only what needs attention. is_verbose: also each connection, and what helps to find a fault."""
    logging.getLogger().setLevel(logging.DEBUG if is_verbose else logging.INFO)
    # It would describe its own loop.
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _is_journal() -> bool:
    """Return whether standard error goes to the journal, which the journal indicates by device and inode (systemd.exec(5))."""
    journal = os.environ.get("JOURNAL_STREAM")
    if not journal:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"


def _indented(text: str) -> str:
    return "\n".join(f"{_MARGIN}{printable(line)}" for line in text.split("\n"))
