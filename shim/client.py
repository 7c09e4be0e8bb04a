"""Who sent a command."""

from dataclasses import dataclass, field
from typing import Final

from shim.printable import printable

__all__ = ["AT_START", "Client"]

# The listener of what QEMU's command line asks for. If that fails, QEMU ends.
AT_START: Final = "-loadvm"


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of the socket, according to the kernel; None for what the kernel does not know.

    exe: the program that the process runs now. address: where a client on the network comes from. connected_as: the program it
    ran when it connected, if that was another one (execve(2) keeps the process and its sockets). started: when the process
    began, in the kernel's unit, to tell it from a later one with the same pid. listener: the address it connected to, as the
    operator wrote it, without `hold:` and options, or AT_START. certificate: the subject common name in its TLS client
    certificate. is_proxy: the proxy itself is asking. The last four are not recorded.
    """

    pid: int | None = None
    uid: int | None = None
    exe: str | None = None
    address: str | None = None
    connected_as: str | None = None
    started: int | None = field(default=None, compare=False, repr=False)
    listener: str | None = field(default=None, compare=False)
    certificate: str | None = field(default=None, compare=False)
    is_proxy: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        """Return a text that is safe to show on a terminal: a file may have any name."""
        if self.address is not None:
            return self.address
        return f"{printable(self.exe or 'an unknown program')} (pid {self.pid}, uid {self.uid})"
