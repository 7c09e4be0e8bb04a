"""How hmp-repl ends: its exit statuses, and the errors of its connection to QEMU.

ProgramError (host.errors)
├── OwnPolicyError    a policy of one's own, where a proxy has its   2
└── LinkError         no connection, or not to a QMP server            3
    └── LostError     it was there, and has gone                       3
        └── NotConnectedError   nothing was sent                       3
"""

from enum import IntEnum

from host.errors import ProgramError

__all__ = ["ExitStatus", "LinkError", "LostError", "NotConnectedError", "OwnPolicyError", "traceback_text"]


def traceback_text(error: Exception) -> str:
    """Return the traceback of a failure of our own, for whoever reports it."""
    import traceback  # here, because it is not needed if all goes well

    return "".join(traceback.format_exception(error)).rstrip()


class ExitStatus(IntEnum):
    """`hmp-repl --help` lists them."""

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
    """Options give a policy, and a proxy is there that has its own."""

    exit_status = ExitStatus.WRONG_USE
    template = "at {subject}: {reason}"


class LostError(LinkError):
    """The connection ended. What QEMU did of a command that was under way is not known."""

    template = "the connection to QEMU at {subject} is lost: {reason}"


class NotConnectedError(LostError):
    """There was no connection when something was to be sent; so nothing was."""

    template = "there is no connection to QEMU at {subject}: {reason}"
