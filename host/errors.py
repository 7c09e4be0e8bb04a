"""What an operator can get wrong, in whichever program, with the exit status of each.

ProgramError
├── AddressError      an address that cannot be parsed                               2
├── ConfigError       the configuration is wrong                                     2
├── TLSError          a certificate or key cannot be used                            2
└── AuditError        the audit log cannot be opened or written                      6
"""

__all__ = ["AddressError", "AuditError", "ConfigError", "ProgramError", "TLSError"]


# A little more than the longest address of a unix socket.
_SHOWN_CHARS = 200


class ProgramError(Exception):
    """The root of the errors that a program reports in one line: the subject, and the reason. It has an exit status."""

    exit_status: int = 1
    template = "{subject}: {reason}"

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason

    def __str__(self) -> str:
        return self.template.format(subject=self.subject, reason=self.reason)


class AddressError(ProgramError):
    """The operator wrote an address that has no meaning here."""

    exit_status = 2
    template = "invalid address '{subject}': {reason}"

    def __str__(self) -> str:
        """Return the text, with a very long address cut off."""
        shown = self.subject if len(self.subject) <= _SHOWN_CHARS else f"{self.subject[:_SHOWN_CHARS]}…"
        return self.template.format(subject=shown, reason=self.reason)


class ConfigError(ProgramError):
    """The configuration file has a mistake. line: 0 if it concerns the whole file; key: "" likewise."""

    exit_status = 2

    def __init__(self, path: str, line: int, key: str, reason: str) -> None:
        super().__init__(path, reason)
        self.line = line
        self.key = key

    def __str__(self) -> str:
        where = f"{self.subject}:{self.line}" if self.line else self.subject
        return f"{where}: {self.key}: {self.reason}" if self.key else f"{where}: {self.reason}"


class TLSError(ProgramError):
    """A file with a certificate or a key cannot be used. setting: the one that names the file."""

    exit_status = 2
    template = "cannot use TLS with {subject}: {reason} (setting {setting})"

    def __init__(self, path: str, reason: str, setting: str) -> None:
        super().__init__(path, reason)
        self.setting = setting

    def __str__(self) -> str:
        return self.template.format(subject=self.subject, reason=self.reason, setting=self.setting)


class AuditError(ProgramError):
    """The audit log cannot be opened or written, wherever it is."""

    exit_status = 6
    template = "cannot write the audit log {subject}: {reason}"
