"""The process at the other end of a TCP connection, if that is on this machine.

The kernel is asked for the other end's socket through a netlink socket (sock_diag(7)): it finds one connection among a hundred
thousand at once, while `/proc/net/tcp` would have to be read from the start, and it names the socket's user, so that only that
user's processes have to be searched. A process of another machine, container or network namespace is not found; nor is anything
if netlink is not allowed (systemd's RestrictAddressFamilies=).
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from host.who.process_files import PROC

__all__ = ["Connection", "Holder", "PeerSocket", "TCPPeers", "connection_of", "peer_socket"]

# <linux/sock_diag.h>, <linux/inet_diag.h>, <linux/netlink.h>.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_ENDS: Final = struct.Struct("!HH16s16s")
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # after the number of an interface, which is any
_ALL_STATES: Final = 0xFFFFFFFF
# The answer begins with the family, the state, and two bytes that do not matter, followed by the ends.
_STATE: Final = struct.Struct("=BBxx")
_ENDS_OFFSET: Final = _HEADER.size + _STATE.size
_TCP_LISTEN: Final = 10
# After the ends, with their interface and cookie.
_OWNER: Final = struct.Struct("=IIIII")
_OWNER_OFFSET: Final = _ENDS_OFFSET + _ENDS.size + len(_NO_COOKIE)
_MOST_ANSWER_BYTES: Final = 4096
# The kernel answers at once, or never.
_TIMEOUT_S: Final = 1.0
_MAPPED_IPV4: Final = bytes(10) + b"\xff\xff"
# This takes about 0.2 s; if that is not enough, the client is known by its address alone.
_MOST_DESCRIPTORS: Final = 50_000


class Connection(NamedTuple):
    """A TCP connection, seen from this process. Addresses are as on the wire: 4 or 16 bytes."""

    peer: bytes
    peer_port: int
    own: bytes
    own_port: int


class PeerSocket(NamedTuple):
    """The other end's socket. inode: its number, as in `/proc/PID/fd`."""

    uid: int
    inode: int


class Holder(NamedTuple):
    """A process that has a socket open, by a descriptor with this number."""

    pid: int
    number: int


def connection_of(number: int) -> Connection | None:
    """Return the ends of a connected TCP socket, by its descriptor; None for another kind, and for one that has ended."""
    try:
        with socket.socket(fileno=os.dup(number)) as sock:
            own, peer = sock.getsockname(), sock.getpeername()
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            return Connection(_packed(sock.family, peer[0]), peer[1], _packed(sock.family, own[0]), own[1])
    except OSError:
        return None


def _packed(family: int, host: str) -> bytes:
    packed = socket.inet_pton(family, host.partition("%")[0])
    return packed.removeprefix(_MAPPED_IPV4) if len(packed) == 16 else packed


def peer_socket(connection: Connection) -> PeerSocket | None:
    """Ask the kernel for the other end's socket; None if it has none, or does not say."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_TIMEOUT_S)
            netlink.send(_question(connection))
            answer = netlink.recv(_MOST_ANSWER_BYTES)
    except OSError:
        return None
    kind = _HEADER.unpack_from(answer)[1] if len(answer) >= _HEADER.size else 0
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _OWNER_OFFSET + _OWNER.size:
        return None
    if not _is_of(connection, answer):
        return None
    *_, uid, inode = _OWNER.unpack_from(answer, _OWNER_OFFSET)
    return PeerSocket(uid, inode) if inode else None  # nobody has it any more


def _is_of(connection: Connection, answer: bytes) -> bool:
    """Return whether it is the connection's other end. If there is none, the kernel answers with a listener on that port."""
    family, state = _STATE.unpack_from(answer, _HEADER.size)
    port, far_port, *ends = _ENDS.unpack_from(answer, _ENDS_OFFSET)
    own, far = (end[:4] if family == socket.AF_INET else end.removeprefix(_MAPPED_IPV4) for end in ends)
    return state != _TCP_LISTEN and Connection(own, port, far, far_port) == connection


def _question(connection: Connection) -> bytes:
    family = socket.AF_INET if len(connection.peer) == 4 else socket.AF_INET6
    ends = _ENDS.pack(connection.peer_port, connection.own_port, connection.peer, connection.own)
    asked = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + ends + _NO_COOKIE
    return _HEADER.pack(_HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + asked


class TCPPeers:
    """Find the process that has a socket open. Callable on any thread."""

    def __init__(self, folder: str = PROC, *, most_descriptors: int = _MOST_DESCRIPTORS) -> None:
        self._folder = folder
        self._most = most_descriptors
        # The last result, because one tool sends many commands by one connection.
        self._last: tuple[int, Holder] | None = None

    def holder(self, found: PeerSocket) -> Holder | None:
        """Return a process that has the socket open; None if no process that we may inspect has it."""
        link = f"socket:[{found.inode}]"
        last = self._last
        if last is not None and last[0] == found.inode and self._links_to(last[1], link):
            return last[1]
        for holder in self._candidates(found.uid):
            if self._links_to(holder, link):
                self._last = (found.inode, holder)
                return holder
        return None

    def is_held(self, holder: Holder, found: PeerSocket) -> bool:
        """Return whether a process still has the socket open."""
        return self._links_to(holder, f"socket:[{found.inode}]")

    def _candidates(self, uid: int) -> Iterator[Holder]:
        """Yield the descriptors of a user's processes, highest pid first: a tool is usually younger than a daemon."""
        left = self._most
        for pid in sorted((int(name) for name in os.listdir(self._folder) if name.isdecimal()), reverse=True):
            for number in self._descriptors(pid, uid):
                if not left:
                    return
                left -= 1
                yield Holder(pid, number)

    def _descriptors(self, pid: int, uid: int) -> list[int]:
        with contextlib.suppress(OSError):
            found = os.stat(f"{self._folder}/{pid}")
            if stat.S_ISDIR(found.st_mode) and found.st_uid == uid:
                return sorted(map(int, os.listdir(f"{self._folder}/{pid}/fd")))
        return []

    def _links_to(self, holder: Holder, link: str) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(f"{self._folder}/{holder.pid}/fd/{holder.number}") == link
        return False
