"""Where the clients of a wrapped QEMU come in, and what they get before they can be served.

QEMU greets clients as soon as its sockets exist, and answers once the machine does. So do we: a client that comes early gets
its greeting at once, and is read when QEMU answers and the work of `-loadvm` is done.

This is separate from what serves clients, because importing that takes two thirds of the proxy's start, and a client should not
wait so long for its greeting.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from host.ids import own_ids
from host.net.addresses import StdioAddress, TCPAddress, UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import listener_name
from proxy.entrance.listeners import Listeners
from proxy.net.ends import End
from proxy.net.qmp_connection import QMPConnection
from proxy.qmp_json.indentation import Indenter
from proxy.wrapping.dialing import dial
from proxy.wrapping.doors import Door
from proxy.wrapping.standard_streams import standard_end
from shim.client import Client

__all__ = ["Reception"]

_MS_PER_S = 1000
_ID_PREFIX = "hmpshim-start-"


class Reception:
    """Greet clients and keep them. Call `open`, then `hand_over` when they can be served, and `close` at the end.

    Attributes:
        config: its upstream names the connection.
        connection: the one to QEMU; its greeting has arrived when `open` is done.
        starter: who started QEMU, and is at its standard input and output.
    """

    def __init__(self, config: VMConfig, control: socket.socket, doors: Sequence[Door], starter: Client) -> None:
        self.config = config
        self.starter = starter
        self._doors = doors
        control.setblocking(False)
        # A QEMU that is still being set up, or waits for a client at another of its sockets, may take any time to answer.
        self.connection = QMPConnection(control, str(config.upstream), own_ids(_ID_PREFIX), answer_timeout_s=None)
        self._greeting = b""
        # Clients that have their greeting, and are not read yet.
        self._early: list[tuple[End, Client]] = []
        self._serve: Callable[[End, Client], str | None] | None = None
        self._dialing: list[asyncio.Task[None]] = []
        self._listeners = Listeners(self._admit, terms_at=config.terms_at)
        for door in doors:
            for sock in door.listening:
                self._listeners.add(sock, door.address, door.file)

    @property
    def name(self) -> str:
        """The VM's name if neither the configuration nor QEMU has one."""
        return self.config.name or (str(self._doors[0].address) if self._doors else "QEMU")

    async def open(self) -> None:
        """Wait until QEMU is there, let clients in, and greet those that wait. Raises NotQMPError if QEMU ends before."""
        self._greeting = await self.connection.await_greeting(math.inf)
        for door in self._doors:
            self._let_in(door)
        self._listeners.start()
        # The loop polls the sockets in one turn, and accepts the clients in the next.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def hand_over(self, serve_greeted: Callable[[End, Client], object], serve: Callable[[End, Client], str | None]) -> None:
        """Serve the clients that are there, in their order, and from now on each one that comes.

        serve_greeted: for a client that has the greeting already. serve: returns why a client is not served.
        """
        self._serve = serve
        early, self._early = self._early, []
        for end, client in early:
            if self.config.has_prompt(client.listener):
                serve(end, client)
            else:
                serve_greeted(end, client)

    def close(self) -> None:
        """Stop accepting, remove the sockets' files, and close the connection to QEMU. Calling it again does nothing."""
        for task in self._dialing:
            task.cancel()
        for end, _ in self._early:
            end.close()
        self._early.clear()
        self._listeners.close()
        self.connection.close()

    def _let_in(self, door: Door) -> None:
        if door.connected is not None:
            self._listeners.receive(door.connected, door.address)
        match door.address:
            case StdioAddress():
                self._listeners.admit(standard_end(), replace(self.starter, listener=listener_name(door.address)))
            case UnixAddress() | TCPAddress() if door.is_dialed:
                pause_s = door.endpoint.reconnect_ms / _MS_PER_S
                dialing = dial(door.address, pause_s, self._listeners.admit, door.families)
                self._dialing.append(asyncio.create_task(dialing, name=f"dial {door.address}"))
            case _:
                pass

    def _admit(self, end: End, client: Client) -> str | None:
        return self._greet(end, client) if self._serve is None else self._serve(end, client)

    def _greet(self, end: End, client: Client) -> str | None:
        """Keep a client until it can be served. Return why not if there are too many."""
        if len(self._early) >= self.config.max_clients:
            end.close()
            return f"as many clients as {self.config.name_of('max_clients')} allows wait for QEMU: {len(self._early)}"
        if not self.config.has_prompt(client.listener):  # HMP begins with its banner when QEMU is ready
            is_pretty = self.config.terms_at(client.listener).pretty
            with contextlib.suppress(OSError):  # the client has gone
                end.send(Indenter().receive_data(self._greeting) if is_pretty else self._greeting)
        self._early.append((end, client))
        return None
