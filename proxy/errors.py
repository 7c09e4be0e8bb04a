"""The transport's errors. Each carries its facts as fields, makes its text in `__str__`, and has an exit status.

ProgramError (host.errors)
└── ProxyError
    ├── HandOverError     the running proxy does not hand over its VMs               7
    ├── UpstreamError     QEMU's socket cannot be reached                            3
    ├── NotQMPError       something is there, but it does not answer in QMP          4
    │   ├── HungUpError   it closed the connection                                   4
    │   └── OccupiedError it serves another client                                   4
    ├── AttachError       no monitor can be added to QEMU                            4
    └── ListenError       the proxy's own socket cannot be made                      5
        └── ReplacedError somebody else's is in its place already                    5
"""

from host.errors import ProgramError

__all__ = [
    "AttachError",
    "HandOverError",
    "HungUpError",
    "KeptError",
    "ListenError",
    "NotQMPError",
    "OccupiedError",
    "ProxyError",
    "ReplacedError",
    "UpgradeError",
    "UpstreamError",
    "first_error",
]


class ProxyError(ProgramError):
    """The root of the transport's errors."""


# Exit statuses differ by what has to be done: start the VM (3), name another socket or stop the other client (4), free the
# listening address (5).
class UpstreamError(ProxyError):
    """QEMU cannot be connected to."""

    exit_status = 3
    template = "cannot connect to QEMU at {subject}: {reason}"


class NotQMPError(ProxyError):
    """The proxy is connected, but what came, if anything, is not what a QMP server sends."""

    exit_status = 4
    template = "{subject} does not answer as a QMP server: {reason}"


class HungUpError(NotQMPError):
    """The other end closed the connection before it had answered everything."""


class OccupiedError(NotQMPError):
    """QEMU serves another client, and will as long as that stays."""


class AttachError(ProxyError):
    """No monitor can be added to QEMU for the proxy, and trying again would not help."""

    exit_status = 4
    template = "cannot attach to QEMU at {subject}: {reason}"


class HandOverError(ProxyError):
    """The running proxy cannot be replaced, and goes on. exit_status: that of the mistake which prevents it, if it has one."""

    exit_status = 7
    template = "cannot replace the proxy at {subject}: {reason}"

    def __init__(self, subject: str, reason: str, exit_status: int | None = None) -> None:
        super().__init__(subject, reason)
        if exit_status is not None:
            self.exit_status = exit_status


class UpgradeError(ProxyError):
    """The running proxy does not leave its VMs to the service manager, and goes on."""

    exit_status = 7
    template = "cannot upgrade {subject}: {reason}"


class KeptError(ProxyError):
    """The process that is replaced goes on with a VM, which it had offered."""

    exit_status = 7
    template = "{subject}: cannot take it over now: {reason}"


class ListenError(ProxyError):
    """The proxy cannot listen at an address, or clients could not use it there."""

    exit_status = 5
    template = "cannot listen on {subject}: {reason}"


class ReplacedError(ListenError):
    """Before the proxy's socket was ready, somebody put something else at its path, as a QEMU that starts does."""


# A TaskGroup raises nested groups; a person should see one line.
def first_error(error: BaseException) -> BaseException:
    """Return the error to show: preferably one of ours, which has a readable text."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    told, others = error.split(ProgramError)
    return first_error((told or others or error).exceptions[0])
