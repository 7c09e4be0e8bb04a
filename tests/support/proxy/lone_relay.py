"""A relay on sockets that a test holds at the other end, without listeners or a VM's proxy around it."""

import socket
from typing import Final

from host.intents import IntentStore
from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.net.ends import SocketEnd
from proxy.net.qmp_connection import Connected
from proxy.relaying.lasting import Lasting
from proxy.relaying.leaving import Leaving
from proxy.relaying.relay import Relay
from proxy.routing.turns import Turns
from tests.support.routing.pure_router import ManualClock, a_monitor
from tests.support.routing.shared import a_shared

__all__ = ["lone_relay"]

MIB: Final = 1024 * 1024


def lone_relay(sock: socket.socket) -> Relay:
    """Return a relay that has negotiated with the QEMU at the other end of a socket; `start` it in a running loop."""
    intents = IntentStore("unix:/qmp", None)
    shared = a_shared()
    lasting = Lasting(intents, "hmpshim-", lambda: "hmpshim-1", Turns(), shared, Leaving(shared.ledger), audit=None)
    config = VMConfig(UnixAddress("/qmp"), client_buffer_bytes=MIB)
    return Relay(Connected(SocketEnd(sock, takes_descriptors=False), a_monitor()), config, lasting, ManualClock().clock())
