"""How hmp-repl ends: its exit statuses, and the errors of its connection to QEMU.

ProgramError (host.errors)
├── OwnPolicyError    options give a policy, but a proxy has its own   2
└── LinkError         no connection, or not to a QMP server            3
    └── LostError     the connection was there, and is lost            3
        └── NotConnectedError   nothing was sent                       3
"""

import os
from enum import IntEnum

from host.errors import ProgramError
from host.net.connecting import USE_QMP, is_human_monitor

__all__ = ["ExitStatus", "LinkError", "LostError", "NotConnectedError", "OwnPolicyError", "failure_text", "reason_of_loss"]


def failure_text(error: Exception) -> str:
    """Return what to say about a failure of our own, with its traceback."""
    import traceback  # here, because it is not needed if all goes well

    return f"hmpshim has failed, and goes on: please report this\n{''.join(traceback.format_exception(error)).rstrip()}"


class ExitStatus(IntEnum):
    """The exit statuses that `hmp-repl --help` lists."""

    OK = 0
    COMMAND_FAILED = 1
    WRONG_USE = 2
    NO_CONNECTION = 3
    INTERRUPTED = 130
    TERMINATED = 143


class LinkError(ProgramError):
    """QEMU cannot be reached."""

    exit_status = ExitStatus.NO_CONNECTION
    template = "cannot connect to QEMU at {subject}: {reason}"


class OwnPolicyError(ProgramError):
    """Options give a policy, but the connection is to a proxy, which has its own."""

    exit_status = ExitStatus.WRONG_USE
    template = "at {subject}: {reason}"


class LostError(LinkError):
    """The connection ended. The outcome of a command that was under way is unknown."""

    template = "the connection to QEMU at {subject} is lost: {reason}"


class NotConnectedError(LostError):
    """There was no connection when a command was to be sent, so nothing was sent."""

    template = "there is no connection to QEMU at {subject}: {reason}"


def reason_of_loss(exc: BaseException) -> str:
    """Return why there is no connection: qemu.qmp wraps the exception once or twice."""
    from qemu.qmp.error import ProtocolError  # already imported by whoever has such an exception

    said = b""
    while (inner := getattr(exc, "exc", None) or exc.__cause__) is not None:
        said = getattr(inner, "raw", said)  # of a DeserializationError
        exc = inner
    match exc:
        case _ if is_human_monitor(said):
            return USE_QMP
        case FileNotFoundError() | ConnectionRefusedError() if exc.errno:
            return f"{os.strerror(exc.errno or 0)} (is the VM running, with this QMP socket?)"
        case OSError() if type(exc).__module__ == "ssl":
            from host.tls import reason_of  # already imported

            return f"no TLS connection: {reason_of(exc)}"
        case OSError():
            return exc.strerror or str(exc)
        case EOFError():
            return "it closed the connection before it was negotiated"
        case ValueError() | KeyError() | TypeError() | AttributeError() | AssertionError() | ProtocolError():
            return "it does not answer as a QMP server (this program cannot use a monitor in pretty mode)"
    return str(exc).partition("\n")[0] or type(exc).__name__
