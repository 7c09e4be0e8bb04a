"""One listening socket of a VM: what is known about it, and how its terms change while it listens."""

import socket
from dataclasses import dataclass

from host.net.addresses import Address, DescriptorAddress, SystemdAddress
from host.settings.listener import Terms
from proxy.entrance.doorkeeper import check_listening
from proxy.errors import ListenError
from proxy.net.closing import close_listening
from proxy.net.sockets import SocketFile, change_access

__all__ = ["OpenListener"]


@dataclass(slots=True)
class OpenListener:
    """A listening socket. holds: it stays open while QEMU is away. file: the file to remove with it, None if there is none."""

    sock: socket.socket
    address: Address
    terms: Terms
    holds: bool
    file: SocketFile | None = None

    def close(self) -> None:
        close_listening(self.sock, is_shared=isinstance(self.address, DescriptorAddress | SystemdAddress))
        if self.file is not None:
            self.file.remove()

    def change_terms(self, terms: Terms) -> None:
        """Use other terms for clients that come from now on. Raises ListenError if they are not possible, and keeps the old."""
        check_listening(self.sock, self.address, terms)
        if self.file is not None and terms.access != self.terms.access:
            try:
                change_access(self.file, terms.access)
            except OSError as exc:
                raise ListenError(str(self.address), exc.strerror or str(exc)) from exc
        self.terms = terms
