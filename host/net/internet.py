"""The addresses of a TCP host, and which of them to connect to: the first where somebody listens, as in QEMU.

How to connect is up to the caller, in an event loop or before there is one. The model is util/qemu-sockets.c,
inet_connect_saddr.
"""

import contextlib
import errno
import socket
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["INTERNET", "Attempts", "NoAddressError", "targets"]

INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
# What socket.getaddrinfo returns, and one address to connect to.
_Found: TypeAlias = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]
_Target: TypeAlias = tuple[Any, ...]


class NoAddressError(OSError):
    """A host has no address of the wanted families."""

    def __init__(self, host: str) -> None:
        super().__init__(errno.EADDRNOTAVAIL, f"{host} has no address of the family that is asked for")


def targets(found: _Found, families: Collection[int]) -> Iterator[tuple[int, _Target]]:
    """Yield the addresses of these families in the resolver's order, each once."""
    for family, _, _, _, target in dict.fromkeys(found):
        if family in families:
            yield family, target


class Attempts:
    """Yield a socket for each address of a host; connect each within `attempt`.

    problem: why the last attempt failed; raise it when all have failed.
    """

    def __init__(self, host: str, found: _Found, families: Collection[int]) -> None:
        self._targets = targets(found, families)
        self.problem: OSError = NoAddressError(host)

    def __iter__(self) -> Iterator[tuple[socket.socket, _Target]]:
        for family, target in self._targets:
            yield socket.socket(family, socket.SOCK_STREAM), target

    @contextlib.contextmanager
    def attempt(self, sock: socket.socket) -> Iterator[None]:
        """Close the socket if the context fails, and continue after an OSError."""
        try:
            yield
        except OSError as exc:
            sock.close()
            self.problem = exc
        except BaseException:
            sock.close()
            raise
