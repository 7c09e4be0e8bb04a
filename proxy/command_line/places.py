"""The sockets at which a proxy is asked, as a command line names them: paths with who may connect, and the default paths."""

import os
from collections.abc import Callable
from typing import Final

from host.errors import AddressError
from host.net.addresses import Address, TCPAddress, UnixAddress, parse_listen_address
from host.settings.listener import Said
from host.settings.listener_settings import OF_SOCKETS
from host.settings.listener_types import listener_type
from host.settings.setting_types import SettingType

__all__ = ["DEFAULT_FOLDER", "default_path", "read_metrics_address", "read_socket"]

# For --help.
DEFAULT_FOLDER: Final = "/run/hmp-proxy for root, else hmp-proxy in XDG_RUNTIME_DIR"


def default_path(name: str) -> str:
    """Return the default path of the socket of that name, for this user's proxy: for root in the unit's RuntimeDirectory=."""
    folder = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return f"{folder}/hmp-proxy/{name}.sock"


def _socket_path(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    address = parse_listen_address(f"unix:{path}") if path else None
    if isinstance(address, UnixAddress):
        return address
    raise AddressError(text, "write the path of a socket that the proxy makes")


def _metrics_address(text: str) -> UnixAddress | TCPAddress:
    try:
        address: Address | None = parse_listen_address(text)
    except AddressError:
        address = None
    if isinstance(address, UnixAddress | TCPAddress) and not address.holds:
        return address
    raise AddressError(text, "write tcp:HOST:PORT, such as tcp:127.0.0.1:9180, or unix:PATH")


def _word(kind: SettingType) -> Callable[[str], Address | Said]:
    assert kind.from_word is not None, "only switches have none"
    return kind.from_word


# For argparse. Who may connect is spelled as for a VM's listeners: PATH,mode=0660,group=monitor.
read_socket: Final = _word(listener_type(_socket_path, OF_SOCKETS))
read_metrics_address: Final = _word(listener_type(_metrics_address, OF_SOCKETS))
