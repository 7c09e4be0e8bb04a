"""What a person writes to say which VM: an address, or a name."""

import os

from host.errors import AddressError
from host.net.addresses import UNIX_PATH_BYTES, TCPAddress, UnixAddress, parse_upstream_address

__all__ = ["parse_target"]


def _parse_address(text: str) -> UnixAddress | TCPAddress:
    is_path = not text.startswith(("unix:", "tcp:", "fd:", "accept:"))
    address = parse_upstream_address(f"unix:{text}" if is_path else text)
    if isinstance(address, UnixAddress):
        return UnixAddress(_whole(address.path))
    if isinstance(address, TCPAddress):
        return address
    raise AddressError(text, "write PATH, unix:PATH or tcp:HOST:PORT")


def _whole(path: str) -> str:
    """Return the path from the root on, by which the kernel and proxies know a socket, unless it is too long for one.

    Raises AddressError if the working directory is no more.
    """
    # Only where a link may stand before `..` the links have to be followed.
    folder, name = os.path.split(path)
    try:
        whole = os.path.join(os.path.realpath(folder), name) if ".." in path else os.path.abspath(path)
    except OSError as exc:
        raise AddressError(path, f"it is relative to the working directory: {exc.strerror}") from exc
    return whole if len(os.fsencode(whole)) <= UNIX_PATH_BYTES else path


def parse_target(text: str) -> UnixAddress | TCPAddress | str:
    """Read an address, or else the name of a VM. Raises AddressError."""
    is_address = not text or "/" in text or text.startswith(("unix:", "tcp:", "fd:", "accept:")) or os.path.exists(text)
    return _parse_address(text) if is_address else text
