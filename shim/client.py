"""Who asks for something."""

from dataclasses import dataclass

__all__ = ["Client"]


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of the socket, as the kernel knows it; None where it does not.

    address: where a client on the network comes from.
    """

    pid: int | None = None
    uid: int | None = None
    exe: str | None = None
    address: str | None = None

    def __str__(self) -> str:
        if self.address is not None:
            return self.address
        return f"{self.exe or 'an unknown program'} (pid {self.pid}, uid {self.uid})"
