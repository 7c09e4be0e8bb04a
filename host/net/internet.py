"""The addresses of a TCP host, and which of them is connected to: the first where somebody listens, as QEMU does it.

How long a connect takes is its caller's matter, in an event loop or before there is one. util/qemu-sockets.c,
inet_connect_saddr, is the original.
"""

import contextlib
import errno
import socket
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeAlias

__all__ = ["INTERNET", "Attempts", "NoAddressError", "targets"]

INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
# What socket.getaddrinfo returns, and what is connected to.
_Found: TypeAlias = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]
_Target: TypeAlias = tuple[Any, ...]


class NoAddressError(OSError):
    """A host has none of the addresses that are asked for."""

    def __init__(self, host: str) -> None:
        super().__init__(errno.EADDRNOTAVAIL, f"{host} has no address of the family that is asked for")


def targets(found: _Found, families: Collection[int]) -> Iterator[tuple[int, _Target]]:
    """Yield the addresses of these families in the resolver's order, each once."""
    for family, _, _, _, target in dict.fromkeys(found):
        if family in families:
            yield family, target


class Attempts:
    """Yields a socket for each address of a host, to be connected within `attempt`.

    problem: why the last one failed; raise it when all have.
    """

    def __init__(self, host: str, found: _Found, families: Collection[int]) -> None:
        self._targets = targets(found, families)
        self.problem: OSError = NoAddressError(host)

    def __iter__(self) -> Iterator[tuple[socket.socket, _Target]]:
        for family, target in self._targets:
            yield socket.socket(family, socket.SOCK_STREAM), target

    @contextlib.contextmanager
    def attempt(self, sock: socket.socket) -> Iterator[None]:
        """Close the socket if the context fails, and go on after an OSError."""
        try:
            yield
        except OSError as exc:
            sock.close()
            self.problem = exc
        except BaseException:
            sock.close()
            raise
