"""The clients that a listener on a unix socket has accepted, as the kernel knows them.

The kernel is asked through a netlink socket (sock_diag(7)): `/proc/net/unix` does not say which two sockets are connected. A
listener is known by its file, so it does not matter by which path it was bound. Sockets of another network namespace are not
found; nor is anything if netlink is not allowed (systemd's RestrictAddressFamilies=).
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from host.who.tcp_peers import PeerSocket

__all__ = ["accepted_clients"]

# <linux/sock_diag.h>, <linux/unix_diag.h>, <linux/netlink.h>.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_DONE: Final = 3
_NLMSG_ERROR: Final = 2
_DUMP_REQUEST: Final = 0x301
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBHIIIII")
_SHOW_NAME_FILE_PEER_OWNER: Final = 0x1 | 0x2 | 0x4 | 0x40
_ESTABLISHED: Final = 1
_SOCKET: Final = struct.Struct("=BBBxIII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NAME, _FILE, _PEER, _OWNER = 0, 1, 2, 7
_NUMBER: Final = struct.Struct("=I")
_TWO_NUMBERS: Final = struct.Struct("=II")
_MOST_ANSWER_BYTES: Final = 1 << 16
# The kernel answers at once, or never.
_TIMEOUT_S: Final = 1.0
_MINOR_BITS: Final = 20


class _Socket(NamedTuple):
    """inode: 0 for a connection that nobody has accepted. attributes: as bytes, by their type."""

    inode: int
    attributes: Mapping[int, bytes]

    def number(self, kind: int) -> int | None:
        content = self.attributes.get(kind, b"")
        return int(_NUMBER.unpack_from(content)[0]) if len(content) >= _NUMBER.size else None


def accepted_clients(path: str) -> list[PeerSocket]:
    """Return the other ends of the connections that the listener at a path has accepted; [] if the kernel does not say."""
    try:
        found = os.stat(path)
        sockets = list(_connected())
    except OSError:
        return []
    file = _TWO_NUMBERS.pack(found.st_ino & 0xFFFFFFFF, os.major(found.st_dev) << _MINOR_BITS | os.minor(found.st_dev))
    owners = {one.inode: one.number(_OWNER) for one in sockets}
    accepted = (one for one in sockets if one.inode and _is_at(one, os.fsencode(path), file))
    peers = ((peer, owners.get(peer)) for peer in (one.number(_PEER) for one in accepted) if peer)
    return [PeerSocket(owner, peer) for peer, owner in peers if owner is not None]


def _is_at(one: _Socket, path: bytes, file: bytes) -> bool:
    return one.attributes.get(_FILE) == file or one.attributes.get(_NAME, b"").rstrip(b"\0") == path


def _connected() -> Iterator[_Socket]:
    """Yield all connected unix sockets. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        asked = _REQUEST.pack(socket.AF_UNIX, 0, 0, 1 << _ESTABLISHED, 0, _SHOW_NAME_FILE_PEER_OWNER, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 0, 0) + asked)
        while True:
            for kind, content in _messages(netlink.recv(_MOST_ANSWER_BYTES)):
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                if kind == _SOCK_DIAG_BY_FAMILY and len(content) >= _SOCKET.size:
                    yield _Socket(_SOCKET.unpack_from(content)[3], dict(_attributes(content[_SOCKET.size :])))


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while len(answer) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(answer)
        yield kind, answer[_HEADER.size : length]
        answer = answer[_aligned(max(length, _HEADER.size)) :]


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    while len(content) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(content)
        yield kind, content[_ATTRIBUTE.size : length]
        content = content[_aligned(max(length, _ATTRIBUTE.size)) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
