"""Take over QEMU's own socket: the tools keep its path, QEMU's socket moves aside while the proxy runs.

A unix socket stays connectable when its file is renamed. What a proxy that was killed left behind is put right by the next.
"""

import os
import socket
import stat
from dataclasses import dataclass

from host.addresses import TAKE_OVER_SUFFIX, UnixAddress
from proxy.errors import ListenError
from proxy.sockets import is_answered, listen, unlink_socket

__all__ = ["SUFFIX", "TakenOver", "aside_address", "has_returned", "restore", "take_over"]

SUFFIX = TAKE_OVER_SUFFIX


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A path that is ours. listening: our socket there. inode: its file's, to know it again."""

    address: UnixAddress
    listening: socket.socket
    inode: int

    def give_back(self) -> None:
        """Close our socket and put QEMU's back, unless QEMU (started anew) has made a socket there itself."""
        self.listening.close()
        aside = aside_address(self.address).path
        if not _is_inode(self.address.path, self.inode):
            unlink_socket(aside)
        elif os.path.exists(aside):
            os.rename(aside, self.address.path)
        else:
            unlink_socket(self.address.path)


def aside_address(address: UnixAddress) -> UnixAddress:
    """Say where QEMU's socket waits."""
    return UnixAddress(address.path + SUFFIX)


def _is_inode(path: str, inode: int) -> bool:
    try:
        return os.stat(path).st_ino == inode
    except FileNotFoundError:
        return False


def restore(address: UnixAddress) -> None:
    """Put QEMU's socket back where a proxy that was killed has moved it from.

    Raises ListenError if a proxy is still running there.
    """
    aside = aside_address(address).path
    if not os.path.exists(aside):
        return
    if not stat.S_ISSOCK(os.stat(aside).st_mode):
        raise ListenError(str(address), f"{aside} is in the way and is no socket; remove it")
    if is_answered(aside):
        if is_answered(address.path):
            raise ListenError(str(address), "another proxy has taken it over; stop it first")
        os.rename(aside, address.path)
    else:
        unlink_socket(aside)  # that QEMU has gone; a new one has its socket at its own path


def take_over(address: UnixAddress) -> TakenOver:
    """Move QEMU's socket aside and listen in its place, with its owner and mode. Raises ListenError if that fails."""
    aside = aside_address(address)
    try:
        status = os.stat(address.path)
        os.rename(address.path, aside.path)
        listening = None
        try:
            listening = listen(address)
            os.chown(address.path, status.st_uid, status.st_gid)
            os.chmod(address.path, status.st_mode & 0o7777)
            return TakenOver(address, listening, os.stat(address.path).st_ino)
        except BaseException:
            if listening is not None:
                listening.close()
            os.rename(aside.path, address.path)
            raise
    except OSError as exc:
        raise ListenError(str(address), f"it cannot be taken over: {exc.strerror}") from exc


def has_returned(taken: TakenOver) -> bool:
    """Tell whether QEMU, started anew, has made its own socket where ours was."""
    return os.path.exists(taken.address.path) and not _is_inode(taken.address.path, taken.inode)
