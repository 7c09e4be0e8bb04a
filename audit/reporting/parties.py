"""Who and what a record is about: the tool that sent a command, and the VM."""

from dataclasses import dataclass

__all__ = ["VM", "Tool"]


@dataclass(frozen=True, slots=True, order=True)
class Tool:
    """Who sends commands, as a person would put it: a program, where it runs and for whom, on any number of machines.

    name: of the script or the program; the address for a client on another machine. place: the systemd unit or the container,
    without what differs from run to run. user: a name, or a number without a name. place and user are "" if the log does not
    say.
    """

    name: str
    place: str = ""
    user: str = ""

    @property
    def owner(self) -> str:
        """Return where it runs and for whom: `backup.service, user backup`."""
        return ", ".join([*([self.place] if self.place else []), *([f"user {self.user}"] if self.user else [])])

    @property
    def label(self) -> str:
        """Return the full name: `nightly.py (backup.service, user backup)`."""
        return f"{self.name} ({self.owner})" if self.owner else self.name


@dataclass(frozen=True, slots=True, order=True)
class VM:
    """One VM. host: the machine of the proxy, "" if the log does not say."""

    host: str
    name: str
