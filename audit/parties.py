"""Who and what a record is about: the tool that sent a command, and the VM."""

from dataclasses import dataclass

__all__ = ["VM", "Tool"]


@dataclass(frozen=True, slots=True, order=True)
class Tool:
    """Who sends commands: one program of one user of one machine.

    host: the machine of the proxy, "" where the log does not say. exe: the executable, "" where the kernel did not tell.
    uid: -1 likewise. address: where it came from on the network, without the port; exe and uid are unknown then.
    """

    host: str
    exe: str
    uid: int
    address: str

    @property
    def name(self) -> str:
        return self.exe or self.address or "unknown program"


@dataclass(frozen=True, slots=True, order=True)
class VM:
    """One VM. host: as in Tool."""

    host: str
    name: str
