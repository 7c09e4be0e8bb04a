"""The errors of the transport. Each carries its facts as fields, makes its text in `__str__`, and has an exit status.

ProxyError
├── AddressError      an address that cannot be read                                 2
├── ConfigError       the configuration is wrong                                     2
├── UpstreamError     QEMU's socket cannot be reached                                3
├── NotQMPError       something answers there, but it does not speak QMP             4
│   └── HungUpError   it closed the connection                                       4
├── ListenError       the proxy's own socket cannot be made                          5
└── AuditError        the audit file cannot be opened                                6
"""

from typing import ClassVar

__all__ = [
    "AddressError",
    "AuditError",
    "ConfigError",
    "HungUpError",
    "ListenError",
    "NotQMPError",
    "ProxyError",
    "UpstreamError",
]


class ProxyError(Exception):
    """The root of the transport's errors: about what, and why."""

    exit_status: ClassVar[int] = 1
    template: ClassVar[str] = "{subject}: {reason}"

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason

    def __str__(self) -> str:
        return self.template.format(subject=self.subject, reason=self.reason)


class AddressError(ProxyError):
    """The operator wrote an address that has no meaning here."""

    exit_status = 2
    template = "'{subject}' is no address: {reason}"


class ConfigError(ProxyError):
    """The configuration file has a mistake. line: 0 where it is about the whole file; key: "" likewise."""

    exit_status = 2

    def __init__(self, path: str, line: int, key: str, reason: str) -> None:
        super().__init__(path, reason)
        self.line = line
        self.key = key

    def __str__(self) -> str:
        where = f"{self.subject}:{self.line}" if self.line else self.subject
        return f"{where}: {self.key}: {self.reason}" if self.key else f"{where}: {self.reason}"


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


class ListenError(ProxyError):
    """The proxy cannot offer its socket."""

    exit_status = 5
    template = "cannot listen on {subject}: {reason}"


class AuditError(ProxyError):
    """The audit log cannot be written."""

    exit_status = 6
    template = "cannot write the audit log {subject}: {reason}"
