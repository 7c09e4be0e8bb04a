"""The proxy of a wrapped QEMU: one connection, which lasts as long as QEMU does, and clients who come in where QEMU said.

QEMU greets whoever comes as soon as its sockets are there, and answers when the machine is. So do we: a client that comes early
has its greeting at once, and is read when QEMU answers, and when what `-loadvm` asks for is done.
"""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Sequence
from dataclasses import replace

from host.addresses import StdioAddress, TCPAddress, UnixAddress
from host.audit_log import AuditLog
from host.config import VMConfig
from host.errors import ConfigError
from host.ids import own_ids
from host.intents import intents_of
from host.listener import listener_name
from proxy.change import own_client
from proxy.errors import NotQMPError
from proxy.leaving import Leaving
from proxy.ledger import Ledger
from proxy.net.ends import End
from proxy.net.listeners import Listeners
from proxy.net.qmp_connection import QMPConnection
from proxy.pattern_check import check_patterns
from proxy.preload import preload_in_loop
from proxy.qmp_json.indentation import Indenter
from proxy.relay import Relay
from proxy.routing.turns import Turns
from proxy.system_clock import SYSTEM_CLOCK
from proxy.wrapping.dialing import dial
from proxy.wrapping.doors import Door
from proxy.wrapping.loading import LISTENER, Load, load_at_start
from proxy.wrapping.standard_streams import standard_end
from shim.client import Client
from shim.jobs import JOB_PREFIX
from shim.qmp import Execute

__all__ = ["StartFailedError", "WrappedVM"]

_log = logging.getLogger(__name__)

_MS_PER_S = 1000


class StartFailedError(Exception):
    """What was to be done before the guest runs has failed; the text is for QEMU's standard error."""


class WrappedVM:
    """Serve one QEMU until it ends. Call `begin`, then `serve`, then `close`.

    config: its upstream names the connection. control: that connection. starter: who started QEMU, and is at its standard input
    and output.
    """

    def __init__(
        self, config: VMConfig, control: socket.socket, doors: Sequence[Door], starter: Client, audit_log: AuditLog | None
    ) -> None:
        self._config = config
        self._doors = doors
        self._starter = starter
        self._audit_log = audit_log
        intents = self._intents = intents_of(config.upstream)
        self._own_prefix = f"{JOB_PREFIX}{intents.token}-"
        self._new_id = own_ids(self._own_prefix)
        self._ledger = Ledger(config.total_buffer_bytes)
        control.setblocking(False)
        # A QEMU that is built, or waits for somebody at another of its sockets, may take any time for both.
        self._connection = QMPConnection(control, str(config.upstream), self._new_id, answer_timeout_s=None)
        self._relay: Relay | None = None
        self._listeners = Listeners(self._admit, lambda: not self._has_ended, config.terms_at)
        self._greeting = b""
        # They have their greeting, and are not read.
        self._early: list[tuple[End, Client]] = []
        self._is_serving = False
        self._dialing: list[asyncio.Task[None]] = []
        for door in doors:
            for sock in door.listening:
                self._listeners.add(sock, door.address, door.file)

    @property
    def _name(self) -> str:
        return self._config.name or (str(self._doors[0].address) if self._doors else "QEMU")

    @property
    def _has_ended(self) -> bool:
        return self._relay is not None and self._relay.lost.is_set()

    async def begin(self, load: Load | None) -> None:
        """Wait until QEMU is there, and do what is to be done before anybody is served.

        Raises NotQMPError if QEMU ends before, StartFailedError if that fails.
        """
        config, connection = self._config, self._connection
        self._greeting = await connection.await_greeting(math.inf)
        for door in self._doors:
            self._let_in(door)
        self._listeners.start()
        await connection.negotiate(config.name, self._name)
        try:
            for complaint in await check_patterns(connection, config):
                _log.warning("%s", complaint)
        except ConfigError as exc:
            raise StartFailedError(str(exc)) from exc
        self._relay = Relay(
            connection.hand_over(),
            config,
            new_id=self._new_id,
            own_prefix=self._own_prefix,
            intents=self._intents,
            clock=SYSTEM_CLOCK,
            turns=Turns(),
            audit_log=self._audit_log,
            ledger=self._ledger,
            leaving=Leaving(self._ledger),
        )
        self._relay.start()
        if load is not None:
            await self._load(load)

    async def _load(self, load: Load) -> None:
        async with self._own_client() as connection:
            failure = await load_at_start(load, connection)
        if failure is not None:
            raise StartFailedError(failure)

    async def quit(self) -> None:
        """Have QEMU end, and wait until it has."""
        assert self._relay is not None, "begin comes first"
        with contextlib.suppress(NotQMPError):  # it may be gone before it is read
            async with self._own_client() as connection:
                await connection.execute([Execute("quit")])
        await self._relay.lost.wait()

    def _own_client(self) -> contextlib.AbstractAsyncContextManager[QMPConnection]:
        client = replace(self._starter, listener=LISTENER)
        return own_client(self._admit, self._config.upstream, self._new_id, self._name, client)

    async def serve(self) -> None:
        """Serve clients until QEMU has gone."""
        assert self._relay is not None, "begin comes first"
        preload_in_loop((self._config,))
        self._is_serving = True
        early, self._early = self._early, []
        for end, client in early:
            self._add(end, client, is_greeted=not self._config.has_prompt(client.listener))
        await self._relay.lost.wait()

    def close(self) -> None:
        """Let nobody in any more, and remove the files of the sockets."""
        for task in self._dialing:
            task.cancel()
        for end, _ in self._early:
            end.close()
        if self._relay is None:
            self._connection.close()
        else:
            self._relay.close()
        self._listeners.close()

    def _let_in(self, door: Door) -> None:
        if door.connected is not None:
            self._listeners.receive(door.connected, door.address)
        match door.address:
            case StdioAddress():
                self._listeners.admit(standard_end(), replace(self._starter, listener=listener_name(door.address)))
            case UnixAddress() | TCPAddress() if door.is_dialed:
                dialing = dial(door.address, door.endpoint.reconnect_ms / _MS_PER_S, self._listeners.admit)
                self._dialing.append(asyncio.create_task(dialing, name=f"dial {door.address}"))
            case _:
                pass

    def _admit(self, end: End, client: Client) -> str | None:
        return self._add(end, client) if self._is_serving or client.is_proxy else self._greet(end, client)

    def _greet(self, end: End, client: Client) -> str | None:
        """Take in a client before it can be served; return why not if there are too many."""
        if len(self._early) >= self._config.max_clients:
            end.close()
            return f"as many clients as --max-clients allows wait for QEMU: {len(self._early)}"
        if not self._config.has_prompt(client.listener):  # HMP begins with its banner, when QEMU is ready
            is_pretty = self._config.terms_at(client.listener).pretty
            with contextlib.suppress(OSError):  # it has gone
                end.send(Indenter().receive_data(self._greeting) if is_pretty else self._greeting)
        self._early.append((end, client))
        return None

    def _add(self, end: End, client: Client, *, is_greeted: bool = False) -> str | None:
        if self._relay is None or self._relay.lost.is_set():
            end.close()
            return None
        errors_in_qmp = self._config.terms_at(client.listener).errors_in_qmp
        return self._relay.add_client(end, client, errors_in_qmp=errors_in_qmp, is_greeted=is_greeted)
