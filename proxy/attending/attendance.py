"""One connection to QEMU as its VM's proxy has it: with a relay while somebody needs one, and with next to nothing otherwise.

Most of a host's VMs have no client most of the time, and a relay with its router takes 7 KB. So the relay is made for the first
client, and before that only for a moment, to recover what an earlier connection has left behind. Once a connection has had a
client, it keeps its relay, which by then has learnt about the VM.
"""

from collections.abc import Callable
from typing import Self

from host.settings.config import VMConfig
from proxy.attending.resting import Resting
from proxy.net.ends import End
from proxy.net.qmp_connection import Connected
from proxy.once import Once
from proxy.relaying.lasting import Lasting
from proxy.relaying.quiet import why_not_quiet
from proxy.relaying.relay import Relay
from proxy.waiting import Signal
from shim.client import Client

__all__ = ["Attendance"]


class Attendance:
    """Made with `begin`; for a connection from another process, with the constructor and `make_relay`. Call `close` at the end.

    lost: set when QEMU has gone. relay: None while nobody needs one. is_recovered: what an earlier connection left behind has
    been recovered already.
    """

    # Each VM has one, and most have little else.
    __slots__ = (
        *("_config", "_connected", "_is_recovered", "_lasting", "_on_visited", "_resting"),
        *("lost", "monitor", "relay"),
    )

    def __init__(self, connected: Connected, config: VMConfig, lasting: Lasting, *, is_recovered: bool = False) -> None:
        self.monitor = connected.monitor
        self.lost = Signal()
        self.relay: Relay | None = None
        self._connected: Connected | None = connected
        self._config, self._lasting = config, lasting
        self._is_recovered = is_recovered
        self._resting: Resting | None = None
        # Called when this VM's visit ends; None while there is none.
        self._on_visited: Callable[[], None] | None = None
        lasting.standing.counters.connections += 1

    @classmethod
    def begin(cls, connected: Connected, config: VMConfig, lasting: Lasting) -> Self:
        """Make an attendance and start it; if that fails, close the connection."""
        attendance = cls(connected, config, lasting)
        try:
            attendance.start()
        except BaseException:
            attendance.close()
            raise
        return attendance

    @property
    def deserted(self) -> Signal:
        """Set when the last client has left; while there is no relay, when QEMU has gone."""
        return self.lost if self.relay is None else self.relay.deserted

    def start(self) -> None:
        """Begin. A savevm that was cut off is recovered at once; anything else that may have been left, when there is time."""
        if self._lasting.intents.written():
            self.wake()
            return
        self._rest()
        self._lasting.shared.visits.add(self._visit)

    def make_relay(self) -> Relay:
        """Make the relay, without starting it."""
        assert self.relay is None
        connected = self._connected if self._resting is None else self._resting.wake()
        assert connected is not None, "it is with the relay, or rests"
        self._connected = self._resting = None
        self.relay = Relay(connected, self._config, self._lasting, lost=self.lost)
        self.relay.on_flushed = Once(self._relieve_if_idle).ask
        return self.relay

    def wake(self) -> Relay:
        """Return the relay; if there is none, make and start it. QEMU must be there. If this fails, the connection is lost."""
        if (relay := self.relay) is None:
            relay = self.make_relay()
            recovers, self._is_recovered = not self._is_recovered, True
            try:
                relay.start(recovers=recovers)
            except BaseException:
                self.close()
                self.lost.set()
                raise
        return relay

    def add_client(self, end: End, client: Client, *, errors_in_qmp: bool) -> str | None:
        """Let a client in, as `Relay.add_client` does."""
        relay = self.wake() if client.is_proxy else self.keep_awake()
        return relay.add_client(end, client, errors_in_qmp=errors_in_qmp)

    def keep_awake(self) -> Relay:
        """Return the relay, and keep it from now on."""
        relay = self.wake()
        relay.on_flushed = None
        self._end_visit()  # a recovery goes on by itself
        return relay

    def change(self, config: VMConfig, lasting: Lasting) -> None:
        """Use another configuration from now on. lasting: replaces the former, as its log may be another one."""
        self._config, self._lasting = config, lasting
        if self.relay is not None:
            self.relay.change(config, lasting.audit)

    def close(self) -> None:
        """Close the connection, and the clients. Calling it again does nothing."""
        if self.relay is not None:
            self.relay.close()
        elif self._resting is not None:
            self._resting.close()
        elif self._connected is not None:
            self._connected.end.close()
        self._connected = self._resting = None
        self._end_visit()

    def _visit(self, on_end: Callable[[], None]) -> None:
        """Recover what an earlier connection has left behind, unless a client has come and caused that already."""
        if self._is_recovered or (self.relay is None and self._resting is None):
            on_end()
            return
        self._on_visited = on_end
        self.wake()

    def _end_visit(self) -> None:
        on_end, self._on_visited = self._on_visited, None
        if on_end is not None:
            on_end()

    def _relieve_if_idle(self) -> None:
        """Go on without the relay if nothing is under way there and it has no clients."""
        relay = self.relay
        if relay is None or relay.on_flushed is None or self.lost.is_set() or not _is_idle(relay):
            return
        self._connected, self.relay = relay.detach(), None
        self._rest()
        self._end_visit()

    def _rest(self) -> None:
        connected, self._connected = self._connected, None
        assert connected is not None
        self._resting = Resting(connected, self._lasting.standing.counters, self._lose, self.wake)

    def _lose(self) -> None:
        self._resting = None
        self.lost.set()


def _is_idle(relay: Relay) -> bool:
    """Return whether another relay could take this one's place at any moment without anybody noticing."""
    router, dispatcher, upstream, _ = relay.parts
    has_said_all = not (dispatcher.denials.are_untold or upstream.unsent_bytes or upstream.is_closed)
    return has_said_all and not relay.clients.streams and why_not_quiet(router, dispatcher, relay.turns) is None
