"""Sockets that somebody else made: the parent process (`fd:N`), or systemd for a .socket unit (`systemd`, `systemd:NAME`).

Such a socket is known only by its number, which soon belongs to another file if it is closed. So a listening socket of
systemd's is used through a duplicate, and the original stays open as long as the process lives. A VM that is restarted finds it
there, and its clients wait in the kernel's queue meanwhile, as they do while the whole service restarts.

Descriptors that this program has stored with systemd for the next process come in the same way (proxy/handover/stored.py). They
are not sockets of a unit, and are recognised by name.
"""

import os
import socket
from collections.abc import Iterable
from typing import Final

from host.net.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress
from proxy.errors import ListenError
from proxy.net.sockets import is_listening

__all__ = ["STORED", "inherited_sockets", "is_there_once", "stored_descriptors", "unclaimed_names"]

# The prefix of the names under which this program stores descriptors with systemd.
STORED: Final = "hmpshim-stored-"

# sd_listen_fds(3), SD_LISTEN_FDS_START.
_SYSTEMD_FIRST_FD: Final = 3
# What a passed socket without a name is called (sd_listen_fds_with_names(3)).
_NAMELESS: Final = "unknown"


def inherited_sockets(address: DescriptorAddress | SystemdAddress) -> list[socket.socket]:
    """Return the sockets that were inherited at an address. Raises ListenError if there are none."""
    try:
        if isinstance(address, DescriptorAddress):
            return [socket.socket(fileno=address.number)]
        return [_of_systemd(number) for number in _chosen(address)]
    except OSError as exc:
        raise ListenError(str(address), f"no socket was inherited there: {exc.strerror}") from exc


def is_there_once(address: Address) -> bool:
    """Return whether an address can be opened only once: what was inherited there is gone once closed, or there is nothing."""
    match address:
        case DescriptorAddress() | StdioAddress():
            return True
        case SystemdAddress():
            try:
                return not all(map(_is_listening_there, _chosen(address)))
            except ListenError:
                return True
    return False


def unclaimed_names(addresses: Iterable[Address]) -> list[str]:
    """Return the names of sockets that systemd passed and that no address uses: clients would wait there for ever."""
    claimed = {address.name for address in addresses if isinstance(address, SystemdAddress)}
    try:
        passed = [] if None in claimed else _passed(SystemdAddress())
    except ListenError:
        return []
    return [name for _, name in passed if name not in claimed]


def stored_descriptors() -> dict[str, int]:
    """Return the descriptors that systemd has kept for this process, by name."""
    try:
        return {name: number for number, name in _all_passed(SystemdAddress()) if name.startswith(STORED)}
    except ListenError:
        return {}


def _of_systemd(number: int) -> socket.socket:
    return socket.socket(fileno=os.dup(number) if _is_listening_there(number) else number)


def _is_listening_there(number: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(number)) as sock:
            return is_listening(sock)
    except OSError:
        return False


def _chosen(address: SystemdAddress) -> list[int]:
    passed = _passed(address)
    chosen = [number for number, name in passed if address.name in (None, name)]
    if address.name is not None and not chosen:
        names = ", ".join(name for _, name in passed) or "none at all"
        raise ListenError(str(address), f"no socket of that name was passed (FileDescriptorName=), but {names}")
    return chosen


def _passed(address: SystemdAddress) -> list[tuple[int, str]]:
    """Return the number and name of each socket of a unit that was passed to this process. Raises as _all_passed does."""
    return [(number, name) for number, name in _all_passed(address) if not name.startswith(STORED)]


def _all_passed(address: SystemdAddress) -> list[tuple[int, str]]:
    """Return the number and name of each descriptor that was passed to this process (sd_listen_fds_with_names(3)).

    Raises ListenError if LISTEN_PID is not this process's, or if LISTEN_FDS is not a number.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise ListenError(str(address), "no sockets were passed (LISTEN_PID); start it from a .socket unit")
    count = os.environ.get("LISTEN_FDS", "0")
    if not (count.isascii() and count.isdigit()):
        raise ListenError(str(address), f"LISTEN_FDS is not a number: {count!r}")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (int(count) - len(names))
    return [(_SYSTEMD_FIRST_FD + place, names[place] or _NAMELESS) for place in range(int(count))]
