"""One connection to QEMU with its clients, as values from which another process goes on with it.

The one that has it holds still (`HoldingStill`): it reads no client, so that what they send waits in the kernel, and goes on
with the rest until nothing is under way. From then on it reads QEMU no more either, until it has let go of all, or goes on
itself.
The other one takes all up (`take_up`) without a byte read or written, and begins (`begin`) when it is told to.

Not carried: TLS, whose state is in a library; a client at HMP's prompt, and one that speaks telnet, who is half through a
dialogue. Where there is one, nothing of the VM is.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
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

__all__ = ["CarriedClient", "CarriedRelay", "HoldingStill", "Taken", "begin", "let_go", "take_up"]


@dataclass(frozen=True, slots=True)
class CarriedClient:
    """One client. number: its descriptor. session: None for one that has left, and still reads. unsent: what is due to it.

    connected_s: for how long it has been connected.
    """

    number: int
    client: Client
    session: CarriedSession | None
    unsent: bytes
    connected_s: float


@dataclass(frozen=True, slots=True)
class CarriedRelay:
    """All of it. number: the descriptor of the connection to QEMU."""

    number: int
    monitor: Monitor
    clients: tuple[CarriedClient, ...]


# What was taken up.
Taken: TypeAlias = list[tuple[CarriedClient, Session, Stream]]


class HoldingStill:
    """A relay that is to be carried. Call `go_on` if it is not."""

    def __init__(self, relay: Relay, turns: Turns) -> None:
        self._clients, self._monitor, self._turns = relay.clients, relay.monitor, turns
        self._router, self._dispatcher, self._upstream, _ = relay.parts
        # Those that were carried.
        self._streams: list[Stream] = []

    @property
    def runs_plan(self) -> bool:
        """Tell whether a snapshot command runs."""
        return self._dispatcher.plans.exclusive is not None

    def begin(self, *, spares_oob: bool) -> None:
        """Read no clients any more. spares_oob: but for those that may have to free a QEMU that hangs."""
        self._clients.pause(spares_oob=spares_oob)

    def go_on(self) -> None:
        """Read everybody again."""
        if not self._upstream.is_closed:  # QEMU may have gone meanwhile
            self._upstream.start()
        self._clients.go_on()

    def why_never(self) -> str | None:
        """Say what cannot be carried, in words. It may end by itself, when a client leaves."""
        if type(self._upstream.end) is not SocketEnd:
            return "its connection to QEMU has TLS"
        for client, stream in self._all():
            if not stream.can_be_carried:
                return f"{client} is at HMP's prompt"
            if type(stream.end) is not SocketEnd:
                return f"{client} has TLS, telnet, or standard input and output"
        return None

    def why_not_yet(self) -> str | None:
        """Say what is under way, in words; None if nothing is."""
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
        """Return it as a value, and read QEMU no more either. Nothing may be under way."""
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
        return CarriedRelay(self._upstream.end.read_fd(), self._monitor, clients)

    @property
    def is_as_carried(self) -> bool:
        """Tell whether no client has been cut off since."""
        return not self._upstream.is_closed and self._streams == [stream for _, stream in self._all()]

    def _all(self) -> Sequence[tuple[Client, Stream]]:
        """Return the clients, and after them those that have left."""
        present = [(session.client, stream) for session, stream in self._clients.streams.items()]
        return [*present, *self._clients.leaving.streams]


def let_go(relay: Relay) -> None:
    """Close what are only our copies of its sockets: another process goes on with them."""
    _, dispatcher, upstream, _ = relay.parts
    for session in dispatcher.outbox.sessions:
        close_descriptors(session.inbox.drop_descriptors())
    for end in (upstream.detach(), *relay.clients.let_go()):
        assert isinstance(end, SocketEnd), "nothing else is carried"
        end.let_go()


def take_up(relay: Relay, value: CarriedRelay, config: VMConfig) -> Taken:
    """Take in the clients of another process."""
    taken = []
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
    """Begin with what was taken up. Of descriptors that clients have passed, copies are made only now."""
    _, dispatcher, upstream, come_back = relay.parts
    upstream.start()
    for one, session, stream in taken:
        # As it is: of a stream in another form than QEMU's, this is in that form already.
        Stream.write(stream, one.unsent)
        if one.session is None:
            relay.clients.drop(session)
        elif one.session.begun.data or one.session.descriptors:
            descriptors = tuple(map(os.dup, one.session.descriptors))
            dispatcher.receive_from_client(session, one.session.begun.data, descriptors)
    come_back()
