"""Make and probe sockets, and find out who is at the other end. entrance/inherited.py has those that somebody else made.

A unix socket's file outlives the process that made it, so a file at a path does not show that anybody listens there; only a
connection does. If nobody listens, the file was left by a process that was killed, and is replaced.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import Self

from host.net.addresses import TCPAddress, UnixAddress, is_loopback, process
from host.net.socket_access import DEFAULT_MODE, OWNER_ONLY, SocketAccess
from proxy.errors import ListenError, ReplacedError
from shim.client import Client

__all__ = [
    "BACKLOG",
    "CarriedListener",
    "ListeningSocket",
    "SocketFile",
    "change_access",
    "copied_socket",
    "is_answered",
    "is_listening",
    "listen",
    "peer",
    "peer_groups",
    "unlink_socket",
]

# As many clients as a busy host may send at once. QEMU's own monitors use 1, which lets two wait; the third gets EAGAIN on a
# unix socket and no answer on TCP (seen on 7.2 and 11.1), which many tools take to mean that QEMU is not there.
BACKLOG = 64
_UCRED = struct.Struct("3i")
# include/uapi/asm-generic/socket.h, since Linux 4.13. Python has no name for it, and accepts at most this many bytes in return.
_SO_PEERGROUPS = 59
_MOST_ANSWER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a listening socket, which can be recognised when it is to be removed."""

    path: str
    inode: int | None

    @classmethod
    def at(cls, path: str) -> Self:
        """Return the file that is at a path now."""
        return cls(path, _inode(path))

    @property
    def is_there(self) -> bool:
        """Whether this file is still at its path, rather than something that somebody else has put there."""
        return self.inode is not None and _inode(self.path) == self.inode

    def remove(self) -> None:
        """Remove the file, unless something else is at its path by now.

        Somebody, such as a restarted QEMU, may have made another socket there meanwhile, which is not ours to remove. (QEMU
        does not check: when one ends, it removes by name what another has made there; seen on 7.2 and 11.1.)
        """
        if self.is_there:
            unlink_socket(self.path)


@dataclass(frozen=True, slots=True)
class CarriedListener:
    """A listening socket, by its descriptor. file: the file to remove with it, None if there is none."""

    number: int
    file: SocketFile | None


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


class ListeningSocket(socket.socket):
    """A socket that was made here. file: a unix socket's file; None for TCP."""

    __slots__ = ("file",)

    def __init__(self, family: int, kind: int, protocol: int = 0) -> None:
        super().__init__(family, kind, protocol)
        self.file: SocketFile | None = None


def listen(
    address: UnixAddress | TCPAddress, access: SocketAccess = OWNER_ONLY, *, why_not_outside: str | None = None
) -> ListeningSocket:
    """Make a listening socket. The file of a unix socket on which nobody listens any more is replaced.

    Raises ListenError if somebody does listen, if the path is not a socket, or if the socket cannot be made, and ReplacedError
    if somebody else has put something at the path meanwhile.

    access: who may connect to a unix socket. QEMU's own sockets have what the umask leaves of 0777, which often lets everybody
    in. why_not_outside: why a TCP socket must not be reachable from another machine; None if it may be.
    """
    try:
        if isinstance(address, TCPAddress):
            return _listen_tcp(address, why_not_outside)
        _remove_stale(address)
        return _listen_unix(address, access)
    except FileExistsError as exc:
        raise ReplacedError(str(address), exc.strerror or str(exc)) from exc
    except OSError as exc:
        raise ListenError(str(address), exc.strerror or str(exc)) from exc


def _listen_tcp(address: TCPAddress, why_not_outside: str | None) -> ListeningSocket:
    # The first result, as QEMU's own `-qmp tcp:` takes it: a name with several addresses gets one socket, not several.
    family, kind, protocol, _, target = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    if why_not_outside is not None and not is_loopback(str(target[0])):
        raise ListenError(str(address), why_not_outside)
    sock = ListeningSocket(family, kind, protocol)
    try:
        # A restarted proxy need not wait for the connections of the previous one to time out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(address: UnixAddress, access: SocketAccess) -> ListeningSocket:
    """Make the socket with its final access rights before anybody can connect, and never with more than those."""
    sock = ListeningSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.ExitStack() as undone:
        undone.callback(sock.close)
        # The file gets the mode of the socket that is bound, less the umask (Linux, net/unix/af_unix.c), so nobody else has
        # access to it even for a moment.
        os.fchmod(sock.fileno(), DEFAULT_MODE)
        sock.bind(address.path)
        number = os.open(address.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        undone.callback(os.close, number)
        sock.file = _file_of(number, address.path)
        undone.callback(sock.file.remove)
        _give_access(number, access)
        sock.listen(BACKLOG)
        os.close(number)
        undone.pop_all()
    return sock


def _file_of(number: int, path: str) -> SocketFile:
    """Return the file of a socket that was just bound and opened. Raises OSError if somebody else's is at the path by now.

    A QEMU that starts replaces whatever is there; its sockets are recognised by their mode, all that the umask leaves of 0777.
    """
    status = os.fstat(number)
    if not stat.S_ISSOCK(status.st_mode) or stat.S_IMODE(status.st_mode) & ~DEFAULT_MODE:
        raise OSError(errno.EEXIST, "somebody else has put something there")
    return SocketFile(path, status.st_ino)


def _give_access(number: int, access: SocketAccess) -> None:
    """Give the file of a socket its owner, group and mode. Raises OSError.

    It is addressed by a descriptor, because in a folder that others may write to, the path may lead somewhere else by now.
    """
    there = f"/proc/self/fd/{number}"
    if access.owner is not None or access.group is not None:
        _give(there, access)
    os.chmod(there, access.mode)


def change_access(file: SocketFile, access: SocketAccess) -> None:
    """Change who may connect. Leave alone what somebody else has put at the path. Raises OSError."""
    number = os.open(file.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(number).st_ino == file.inode:
            _give_access(number, access)
    finally:
        os.close(number)


def _give(path: str, access: SocketAccess) -> None:
    """Change the owner and the group. Raises OSError, which says what would help if that is not permitted."""
    try:
        os.chown(path, -1 if access.owner is None else access.owner, -1 if access.group is None else access.group)
    except PermissionError as exc:
        # Only root may give a file to another user; a group's members may give theirs to it (chown(2)).
        if access.owner not in (None, os.geteuid()):
            reason = f"its owner cannot be user {access.owner}; start the proxy as root or as that user"
        else:
            reason = f"its group cannot be group {access.group}; start the proxy as root or as a member of that group"
        raise OSError(exc.errno, reason) from exc


def _remove_stale(address: UnixAddress) -> None:
    """Remove the file of a socket on which nobody listens. Raises ListenError for anything else: it is not ours to remove.

    QEMU (seen on 7.2 and 11.1) silently replaces whatever is there, be it a regular file or the socket of another running QEMU.
    A proxy that did the same would cut off the tools of another VM.
    """
    try:
        mode = os.stat(address.path).st_mode
    except FileNotFoundError as exc:
        if os.path.islink(address.path):
            target = os.readlink(address.path)
            reason = f"the path is a symbolic link to {target}, where nothing is; remove the link, or name another path"
            raise ListenError(str(address), reason) from exc
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(str(address), "the path exists and is not a socket; remove it or choose another")
    if is_answered(address.path):
        raise ListenError(str(address), "another program listens there; stop it or choose another path")
    os.unlink(address.path)


def is_answered(path: str) -> bool:
    """Return whether somebody listens on a unix socket, by connecting and closing at once.

    If QEMU itself listens, it sees a client that leaves at once. This does not wait for a greeting, because a QEMU process that
    is stopped lets clients connect and says nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # its queue is full, or we may not connect: somebody is there
    return True


def copied_socket(number: int) -> socket.socket:
    """Return a socket of our own that is the same connection, or listens at the same place."""
    return socket.socket(fileno=os.dup(number))


def is_listening(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def unlink_socket(path: str) -> None:
    """Remove the file of a listening socket that has been closed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def peer(sock: socket.socket) -> Client:
    """Return who is at the other end. For a unix socket the kernel knows (unix(7), SO_PEERCRED); for TCP it is an address.

    The kernel names the process that connected, with the uid that it had then, not one that was handed the socket later. For a
    client that has gone already this returns an empty Client, and is not an error.
    """
    if sock.family != socket.AF_UNIX:
        try:
            host, port, *_ = sock.getpeername()
        except OSError:
            return Client()
        return Client(address=str(TCPAddress(host, port)))
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return Client()
    pid, uid, _ = _UCRED.unpack(credentials)
    return process(pid, uid)


def peer_groups(sock: socket.socket) -> set[int]:
    """Return the groups of the process at the other end of a unix socket, as they were when it connected.

    It may be only the primary one: if the process has more than 256, and before Linux 4.13.
    """
    try:
        *_, group = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    except OSError:
        return set()
    try:
        others = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_ANSWER_BYTES)
    except OSError:
        return {group}
    return {group, *(number for (number,) in struct.iter_unpack("I", others))}
