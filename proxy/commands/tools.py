"""The names by which people know the clients of a proxy: a script, with its systemd unit or container.

The proxy itself does not report them: it would have to read the memory of its clients' processes for anyone who asks. The
command that asks reads it, with the rights of the person who types it, as ps(1) does.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from host.who.lookups import LOOKUPS
from proxy.control.status import ClientStatus, VMStatus
from shim.client import Client
from shim.records.identity import Identify, Identity

__all__ = ["ToolName", "tool_names"]

ToolName: TypeAlias = Callable[[ClientStatus], str]
"""Returns what a person calls a client; "" if this machine does not tell."""


def tool_names(vms: Iterable[VMStatus]) -> ToolName:
    """Look up the clients of these VMs, all at once and for half a second at most, and return a function that gives their
    names.

    A client has no name if its process has ended since, or has become another one.
    """
    looks: dict[tuple[int | None, int | None], Identify] = {
        (client.pid, client.started): LOOKUPS.begin(Client(client.pid, client.uid, client.program, started=client.started))
        for vm in vms
        for client in vm.clients
        if client.pid is not None and client.started is not None
    }
    names = {key: _name(look()) for key, look in looks.items()}
    return lambda client: names.get((client.pid, client.started), "")


def _name(found: Identity) -> str:
    if found.tool is None:
        return ""
    place = found.unit or found.container
    return f"{found.tool} ({place})" if place else found.tool
