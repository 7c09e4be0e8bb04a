"""What can go wrong with a log or a source, with the exit statuses.

host.ProgramError
├── SourceError       a log or a source cannot be read                               3
├── NoLogError        a file is not an audit log                                     3
└── PageError         the page cannot be written                                     3
DamagedLine           a line of a log is not a record: it is counted, and the others are used
"""

from host.errors import ProgramError

__all__ = ["DamagedLine", "NoLogError", "PageError", "SourceError"]


class SourceError(ProgramError):
    """A log, or what is to be scanned, cannot be opened or read."""

    exit_status = 3
    template = "cannot read {subject}: {reason}"


class NoLogError(ProgramError):
    """A file that was given as a log has content, but no record."""

    exit_status = 3
    template = "{subject} is not an audit log: {reason}"


class PageError(ProgramError):
    """The HTML page cannot be written."""

    exit_status = 3
    template = "cannot write {subject}: {reason}"


class DamagedLine(Exception):
    """A line is not a record that can be used. reason: why not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
