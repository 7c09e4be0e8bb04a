"""Take over QEMU's own socket: tools keep using its path, and QEMU's socket is moved aside while the proxy runs.

A unix socket can still be connected to when its file is renamed. While QEMU is away, the path is not ours, unless it holds and
clients wait there. A QEMU that starts makes its socket at the path, whatever is there, and one that ends removes whatever is
there. What a killed proxy has left behind is put right by the next.
"""

import os
import socket
import stat
from dataclasses import dataclass

from host.net.addresses import ASIDE_SUFFIX, UnixAddress
from host.net.socket_access import OWNER_ONLY, SocketAccess
from proxy.errors import ListenError, ReplacedError
from proxy.net.sockets import ListeningSocket, SocketFile, is_answered, listen, unlink_socket

__all__ = ["CarriedPath", "TakeOver", "aside_address", "restore"]


def aside_address(address: UnixAddress) -> UnixAddress:
    """Return the address to which QEMU's socket is moved."""
    return UnixAddress(address.path + ASIDE_SUFFIX)


# Called at the very start: what it finds belongs either to a proxy that was killed, or to one that still runs.
def restore(address: UnixAddress) -> None:
    """Put QEMU's socket back if a killed proxy has left it moved aside.

    Raises ListenError if another proxy still runs there, or if something that is not a socket is in the way.
    """
    aside = aside_address(address).path
    if not os.path.exists(aside):
        return
    if not stat.S_ISSOCK(os.stat(aside).st_mode):
        raise ListenError(str(address), f"{aside} is in the way and is not a socket; remove it")
    if is_answered(aside):
        if is_answered(address.path):
            raise ListenError(str(address), "another proxy has taken it over; stop it first")
        os.rename(aside, address.path)
    else:
        unlink_socket(aside)  # that QEMU has gone; a new one makes its socket at the path itself


@dataclass(frozen=True, slots=True)
class CarriedPath:
    """A path that is taken over, as a value from which another process goes on (`TakeOver`)."""

    file: SocketFile | None
    has_moved: bool
    last_access: SocketAccess


class TakeOver:
    """A path of QEMU's that is taken over.

    Call `move_aside` and `listen` when QEMU is there, `withdraw` when it has gone, `give_back` at the end.

    drops_dead: do not put back the socket of a QEMU that has gone, where it would look like a running QEMU's. (The proxy cannot
    tell whether QEMU ended in good order: if so it removes its path by name, and what is at that path then is ours.)
    """

    def __init__(self, address: UnixAddress, *, drops_dead: bool = False) -> None:
        self.address = address
        self._drops_dead = drops_dead
        # Our socket's file, by which it is recognised; None while there is none.
        self._file: SocketFile | None = None
        # Whether QEMU's socket was moved aside, so that it is ours to put back.
        self.has_moved = False
        # Whether that QEMU has hung up since.
        self.is_left = False
        # Who could connect to QEMU's socket when it was last there.
        self._last_access = OWNER_ONLY

    @property
    def is_at_path(self) -> bool:
        """Whether our own socket is at the path."""
        return self._file is not None and self._file.is_there

    def move_aside(self) -> None:
        """Move aside the socket that QEMU has made at the path, if there is one. Raises ListenError.

        Then nothing is at the path until `listen`.
        """
        if self.is_at_path or not os.path.exists(self.address.path):
            return
        try:
            os.rename(self.address.path, aside_address(self.address).path)
        except OSError as exc:
            raise self._error(exc) from exc
        self.has_moved, self.is_left = True, False

    def listen(self) -> socket.socket:
        """Listen in QEMU's place, with its socket's owner and mode. Raises ListenError, and then puts QEMU's socket back."""
        try:
            listening = self._listen()
        except (OSError, ListenError) as exc:
            self.give_back()
            raise self._error(exc) from exc
        self._file = listening.file
        return listening

    def _listen(self) -> ListeningSocket:
        try:
            return listen(UnixAddress(self.address.path), self._access())
        except ReplacedError:  # by a QEMU that has just started; its socket is moved aside, too
            self.move_aside()
            return listen(UnixAddress(self.address.path), self._access())

    def _access(self) -> SocketAccess:
        """Return the access of QEMU's socket, for ours: libvirt gives it to another user and closes it to all others."""
        if self.has_moved:
            status = os.stat(aside_address(self.address).path)
            self._last_access = SocketAccess(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        return self._last_access

    def carried(self) -> CarriedPath:
        """Return what another process needs to go on with this path."""
        return CarriedPath(self._file, self.has_moved, self._last_access)

    def take_up(self, path: CarriedPath) -> None:
        """Go on with what another process had."""
        self._file, self.has_moved, self._last_access = path.file, path.has_moved, path.last_access

    def let_go(self) -> None:
        """Forget the path without changing anything there: another process goes on with it."""
        self._file, self.has_moved = None, False

    def withdraw(self) -> None:
        """Remove our socket's file, unless somebody else's is there by now. The caller closes the socket."""
        if self._file is not None:
            self._file.remove()
        self._file = None

    def give_back(self) -> None:
        """Put QEMU's socket back, unless a restarted QEMU has made a new one. Calling it again does nothing."""
        self.withdraw()
        if not self.has_moved:
            return
        self.has_moved = False
        aside = aside_address(self.address).path
        if os.path.exists(self.address.path):
            # A new QEMU is there already; the socket that was moved aside is the previous one's.
            unlink_socket(aside)
        elif self._drops_dead and self.is_left and not is_answered(aside):
            unlink_socket(aside)
        elif os.path.exists(aside):
            os.rename(aside, self.address.path)

    def _error(self, exc: OSError | ListenError) -> ListenError:
        reason = exc.reason if isinstance(exc, ListenError) else exc.strerror
        return ListenError(str(self.address), f"it cannot be taken over: {reason}")
