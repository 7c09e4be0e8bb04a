"""One connection to QEMU with its clients, as values from which another process goes on with it.

The process that has the connection holds still (`HoldingStill`): it reads no client, so that what they send waits in the
kernel, and works on until nothing is under way. From then on it does not read QEMU either, until it has let go of everything
or resumes itself. The other process takes everything up (`take_up`) without reading or writing a byte, and begins (`begin`)
when it is told to.

Some connections cannot be carried: those with TLS, whose state is inside a library, and clients at HMP's prompt or on telnet,
which are in the middle of a dialogue. If a VM has one of these, nothing of the VM is carried.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from host.settings.config import VMConfig
from proxy.net.closing import close_descriptors
from proxy.net.ends import SocketEnd
from proxy.net.sockets import copied_socket
from proxy.net.stream import Stream
from proxy.relaying.quiet import why_not_quiet
from proxy.relaying.relay import Relay
from proxy.routing.turns import Turns
from proxy.sessions.carried import CarriedSession, carried, go_on_as
from proxy.sessions.monitor import Monitor
from proxy.sessions.session import Session
from shim.client import Client
from shim.qmp import JSON

__all__ = ["CarriedClient", "CarriedRelay", "HoldingStill", "Taken", "begin", "let_go", "take_up"]


@dataclass(frozen=True, slots=True)
class CarriedClient:
    """One client. number: its descriptor. session: None for a client that has left but still reads. unsent: what is due to it.

    connected_s: how long it has been connected.
    """

    number: int
    client: Client
    session: CarriedSession | None
    unsent: bytes
    connected_s: float


@dataclass(frozen=True, slots=True)
class CarriedRelay:
    """A whole relay. number: the descriptor of the connection to QEMU. known: see `Known.to_members`; {} if nobody says."""

    number: int
    monitor: Monitor
    clients: tuple[CarriedClient, ...]
    known: dict[str, JSON] = field(default_factory=dict)


# What was taken up.
Taken: TypeAlias = list[tuple[CarriedClient, Session, Stream]]


class HoldingStill:
    """A relay that is about to be carried. Call `go_on` if it is not carried after all."""

    def __init__(self, relay: Relay, turns: Turns) -> None:
        self._clients, self._monitor, self._turns = relay.clients, relay.monitor, turns
        self._router, self._dispatcher, self._upstream, _ = relay.parts
        # The clients' streams as `carried` found them.
        self._streams: list[Stream] = []

    @property
    def runs_plan(self) -> bool:
        """Whether a snapshot command is running."""
        return self._dispatcher.plans.exclusive is not None

    def begin(self, *, spares_oob: bool) -> None:
        """Stop reading clients. spares_oob: except those with out-of-band execution, which may have to free a hung QEMU."""
        self._clients.pause(spares_oob=spares_oob)

    def go_on(self) -> None:
        """Read QEMU and the clients again."""
        if not self._upstream.is_closed:  # QEMU may have gone meanwhile
            self._upstream.start()
        self._clients.go_on()

    def why_never(self) -> str | None:
        """Say in words what cannot be carried; None if everything can. It may pass by itself, when a client leaves."""
        if type(self._upstream.end) is not SocketEnd:
            return "its connection to QEMU has TLS"
        for client, stream in self._all():
            if not stream.can_be_carried:
                return f"{client} is at HMP's prompt"
            if type(stream.end) is not SocketEnd:
                return f"{client} has TLS, telnet, or standard input and output"
        return None

    def why_not_yet(self) -> str | None:
        """Say in words what is still under way; None if nothing is."""
        if (why := why_not_quiet(self._router, self._dispatcher, self._turns)) is not None:
            return why
        if self._upstream.unsent_bytes:
            return "QEMU has not read everything yet"
        for client, stream in self._all():
            if stream.is_held:
                return f"an answer to {client} waits for its record"
        for session in self._clients.streams:
            if carried(session) is None:
                return f"{session.client} has sent a part of what QEMU refuses"
        return None

    def carried(self) -> CarriedRelay:
        """Stop reading QEMU, too, and return the relay as a value. Nothing may be under way."""
        self._upstream.pause()
        self._streams = [stream for _, stream in self._all()]
        now_s = asyncio.get_running_loop().time()
        sessions: dict[Stream, Session] = {stream: session for session, stream in self._clients.streams.items()}
        clients = tuple(
            CarriedClient(
                stream.end.read_fd(),
                client,
                carried(sessions[stream]) if stream in sessions else None,
                stream.unsent,
                now_s - stream.since_s,
            )
            for client, stream in self._all()
        )
        known = self._dispatcher.plans.known.to_members()
        return CarriedRelay(self._upstream.end.read_fd(), self._monitor, clients, known)

    @property
    def is_as_carried(self) -> bool:
        """Whether neither QEMU nor a client has gone since `carried`."""
        return not self._upstream.is_closed and self._streams == [stream for _, stream in self._all()]

    def _all(self) -> Sequence[tuple[Client, Stream]]:
        """Return the clients, and after them those that are leaving."""
        present = [(session.client, stream) for session, stream in self._clients.streams.items()]
        return [*present, *self._clients.leaving.streams]


def let_go(relay: Relay) -> None:
    """Close our copies of a relay's sockets without ending the connections: another process goes on with them."""
    _, dispatcher, upstream, _ = relay.parts
    for session in dispatcher.outbox.sessions:
        close_descriptors(session.inbox.drop_descriptors())
    for end in (upstream.detach(), *relay.clients.let_go()):
        assert isinstance(end, SocketEnd), "nothing else is carried"
        end.let_go()


def take_up(relay: Relay, value: CarriedRelay, config: VMConfig) -> Taken:
    """Take in the clients of another process, and what it knew, without reading or writing a byte."""
    taken = []
    dispatcher = relay.parts[1]
    dispatcher.plans.known.learn(value.known)
    now_s = asyncio.get_running_loop().time()
    for one in value.clients:
        end, in_qmp = SocketEnd(copied_socket(one.number)), config.terms_at(one.client.listener).errors_in_qmp
        session, stream = relay.take_in(end, one.client, errors_in_qmp=in_qmp)
        if one.session is not None:
            go_on_as(session, one.session)
        stream.since_s = now_s - one.connected_s
        taken.append((one, session, stream))
    return taken


def begin(relay: Relay, taken: Taken) -> None:
    """Begin to serve what was taken up. Descriptors that clients have passed are copied only now."""
    _, dispatcher, upstream, come_back = relay.parts
    upstream.start()
    for one, session, stream in taken:
        # Not the stream's own `write`: where that converts (pretty_stream.py), these bytes have been converted already.
        Stream.write(stream, one.unsent)
        if one.session is None:
            relay.clients.drop(session)
        elif one.session.begun.data or one.session.descriptors:
            descriptors = tuple(map(os.dup, one.session.descriptors))
            dispatcher.receive_from_client(session, one.session.begun.data, descriptors)
    come_back()
