"""One VM that another process hands over, and how its proxy here takes it up."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from host.settings.config import VMConfig
from proxy.attending.attendance import Attendance
from proxy.entrance.front import Front
from proxy.errors import KeptError
from proxy.handover.channel import close_all
from proxy.handover.format import CarriedVM
from proxy.net.ends import SocketEnd
from proxy.net.qmp_connection import Connected
from proxy.net.sockets import copied_socket
from proxy.relaying import carrying
from proxy.relaying.lasting import Lasting
from proxy.vm_proxy import VMProxy
from shim.qmp import JSON

__all__ = ["Legacy", "Predecessor"]


class Legacy:
    """A VM that is handed over. Always call `close`.

    numbers: its descriptors. settle: tells the other process that we are ready (None) or why not, and returns whether the VM is
    ours.
    """

    def __init__(self, vm: CarriedVM, numbers: Sequence[int], settle: Callable[[str | None], Awaitable[bool]]) -> None:
        self._vm = vm
        self._numbers: Sequence[int] = numbers
        self._settle = settle
        # The other process knows whether we can go on with the VM.
        self._is_settled = False

    @property
    def kept(self) -> dict[str, JSON]:
        """What the other process has kept for the next start."""
        return self._vm.kept

    async def take_up(self, proxy: VMProxy, front: Front, lasting: Lasting) -> None:
        """Go on with the VM. Raises KeptError if the other process goes on with it after all."""
        value, connection, relay, taken = self._vm.relay, None, None, carrying.Taken()
        is_ours = False
        try:
            front.take_up(self._vm.front)
            proxy.config.policy.exclusions.remember(self._vm.excluded, proxy.config.policy.exclude)
            if value is not None:
                end = SocketEnd(copied_socket(value.number), takes_descriptors=False)
                connection = Attendance(Connected(end, value.monitor), proxy.config, lasting, is_recovered=True)
                relay = connection.make_relay()
                taken = carrying.take_up(relay, value, proxy.config)
            self._is_settled = True
            is_ours = await self._settle(None)
        finally:
            if not is_ours:
                front.let_go()
                if relay is not None:
                    carrying.let_go(relay)
        if not is_ours:
            raise KeptError(proxy.name, "the old process goes on with it")
        lasting.shared.losses.take_over(self._vm.lost)
        proxy.connection = connection
        if connection is not None and relay is not None:
            carrying.begin(relay, taken)
            if taken:
                connection.keep_awake()  # as for every VM that has had a client
        # Whoever closes a connection expects it to end, so no copy of its socket may stay open.
        self._close_numbers()

    async def close(self, error: BaseException | None) -> None:
        """Give the VM up, unless it was taken up. error: why, if there was an error. Calling it again does nothing."""
        self._close_numbers()
        if not self._is_settled:
            self._is_settled = True
            await self._settle(str(error or "it ends"))

    def _close_numbers(self) -> None:
        numbers, self._numbers = self._numbers, ()
        close_all(numbers)


class Predecessor(Protocol):
    """The holder of the replaced process's VMs: that process itself (taking.py), or the service manager (stored.py)."""

    async def claim(self, config: VMConfig, on_waiting: Callable[[], object], /) -> Legacy | None:
        """Return a VM; None if it has to start afresh. on_waiting: called when it is known that this takes a while."""

    def serves(self, name: str, /) -> bool:
        """Whether there is a process that still serves the VM of that name."""

    async def end_others(self, wanted: Collection[str], /) -> None:
        """End all VMs except these."""
