"""The errors of the transport. Each carries its facts as fields, makes its text in `__str__`, and has an exit status.

ProgramError (host.errors)
└── ProxyError
    ├── HandOverError     the running proxy does not hand its VMs over               7
    ├── UpstreamError     QEMU's socket cannot be reached                            3
    ├── NotQMPError       something answers there, but it does not speak QMP         4
    │   ├── HungUpError   it closed the connection                                   4
    │   └── OccupiedError it serves another client                                   4
    ├── AttachError       QEMU does not let a monitor be added                       4
    └── ListenError       the proxy's own socket cannot be made                      5
        └── ReplacedError somebody else's is in its place already                    5
"""

from host.errors import ProgramError

__all__ = [
    "AttachError",
    "HandOverError",
    "HungUpError",
    "ListenError",
    "NotQMPError",
    "OccupiedError",
    "ProxyError",
    "ReplacedError",
    "UpstreamError",
]


class ProxyError(ProgramError):
    """The root of the transport's errors."""


# The statuses are told apart by what has to be done: start the VM (3), name another socket or stop the other client (4), free
# the listening address (5).
class UpstreamError(ProxyError):
    """No connection to QEMU."""

    exit_status = 3
    template = "cannot connect to QEMU at {subject}: {reason}"


class NotQMPError(ProxyError):
    """Connected, but what came is not what a QMP server sends."""

    exit_status = 4
    template = "{subject} does not answer as a QMP server: {reason}"


class HungUpError(NotQMPError):
    """The other end closed the connection in the middle of the negotiation."""


class OccupiedError(NotQMPError):
    """QEMU serves another client, for as long as that stays."""


class AttachError(ProxyError):
    """QEMU has no monitor for the proxy beside the one that was borrowed, and trying again would not make it one."""

    exit_status = 4
    template = "cannot attach to QEMU at {subject}: {reason}"


class HandOverError(ProxyError):
    """The proxy that runs cannot be replaced, and goes on."""

    exit_status = 7
    template = "cannot replace the proxy at {subject}: {reason}"


class ListenError(ProxyError):
    """The proxy cannot offer its socket."""

    exit_status = 5
    template = "cannot listen on {subject}: {reason}"


class ReplacedError(ListenError):
    """Before the proxy's socket was ready, somebody has put something else at its path, as a QEMU does that starts."""
