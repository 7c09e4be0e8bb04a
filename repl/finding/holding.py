"""Who has a QEMU's QMP socket, which serves one client: what to say where it does not greet.

Everything here blocks, and may take as long as another process keeps it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from host.net.addresses import TCPAddress, UnixAddress, process
from host.net.connecting import is_served, why_no_greeting
from host.who.lookups import LOOKUPS
from host.who.tcp_peers import TCPPeers
from host.who.unix_peers import accepted_clients
from repl.finding.control import ServedVM, ask_proxies, control_paths
from repl.finding.processes import PROC, is_stopped
from repl.finding.proxies import running_proxies
from shim.client import Client

__all__ = ["known_as", "why_silent"]

_PEERS: Final = TCPPeers()


def why_silent(
    address: UnixAddress | TCPAddress,
    timeout_s: float,
    server: int | None,
    *,
    controls: Callable[[], Sequence[Path]] = control_paths,
    proc: Path = PROC,
) -> str:
    """Return why a QEMU may have been silent, and who is its client, as precisely as this machine tells.

    server: the process that listens there; None where that is not known.
    """
    if server is not None and is_stopped(server, proc):
        return f"no greeting within {timeout_s:g} s; its process {server} is stopped, and 'kill -CONT {server}' resumes it"
    holder = _proxy_at(address, controls(), proc) or _client_of(address)
    if holder is not None:
        return f"{why_no_greeting(timeout_s, is_served=True)}: {holder}"
    served = is_served(address.path) if isinstance(address, UnixAddress) else None
    return why_no_greeting(timeout_s, is_served=served)


def _proxy_at(address: UnixAddress | TCPAddress, controls: Sequence[Path], proc: Path) -> str | None:
    told = [vm for found in ask_proxies(controls) for vm in found or ()]
    told += [vm for proxy in running_proxies(proc) for vm in proxy.vms]
    return next((_proxy_text(vm) for vm in told if vm.upstream == str(address)), None)


def _proxy_text(vm: ServedVM) -> str:
    where = f", which serves it at {' and '.join(map(str, vm.listen))}" if vm.listen else ""
    return f"hmp-proxy{where}"


def _client_of(address: UnixAddress | TCPAddress) -> str | None:
    if not isinstance(address, UnixAddress):
        return None
    for found in accepted_clients(address.path):
        if (holder := _PEERS.holder(found)) is not None:
            return known_as(process(holder.pid, found.uid))
    return None


def known_as(client: Client) -> str:
    """Return what a person calls a process of this machine, with its number: its tool, and its unit or container."""
    found = LOOKUPS.begin(client)()
    if found.tool is None or client.pid is None:
        return str(client)
    place = found.unit or found.container
    return f"{found.tool} ({f'{place}, ' if place else ''}pid {client.pid}, uid {client.uid})"
