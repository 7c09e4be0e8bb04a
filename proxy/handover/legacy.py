"""One VM that another process hands over, taken up by its proxy here."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from host.settings.config import VMConfig
from proxy.attending.attendance import Attendance
from proxy.entrance.front import Front
from proxy.errors import HandOverError
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
    """What is handed over. Call `close` in any case.

    numbers: its descriptors. settle: tells the other process that we are ready, or why not, and returns whether the VM is ours.
    """

    def __init__(self, vm: CarriedVM, numbers: Sequence[int], settle: Callable[[str | None], Awaitable[bool]]) -> None:
        self._vm = vm
        self._numbers: Sequence[int] = numbers
        self._settle = settle
        # The other process has heard whether we can go on with it.
        self._is_settled = False

    @property
    def kept(self) -> dict[str, JSON]:
        """What the other process has kept for the next start."""
        return self._vm.kept

    async def take_up(self, proxy: VMProxy, front: Front, lasting: Lasting) -> None:
        """Go on with it. Raises HandOverError if the other process does after all."""
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
            raise HandOverError(proxy.name, "it goes on with the VM")
        proxy.connection = connection
        if connection is not None and relay is not None:
            carrying.begin(relay, taken)
            if taken:
                connection.keep_awake()  # as for every VM that has had a client
        # Whoever closes one of our copies means to end that connection.
        self._close_numbers()

    async def close(self, error: BaseException | None) -> None:
        """Do without it, unless it was taken up. error: why, if there was one. Calling it again does nothing."""
        self._close_numbers()
        if not self._is_settled:
            self._is_settled = True
            await self._settle(str(error or "it ends"))

    def _close_numbers(self) -> None:
        numbers, self._numbers = self._numbers, ()
        close_all(numbers)


class Predecessor(Protocol):
    """Who has the VMs of the process that is replaced: that process (taking.py), or the service manager (stored.py)."""

    async def claim(self, config: VMConfig, on_waiting: Callable[[], object], /) -> Legacy | None:
        """Return a VM; None if it begins anew. on_waiting: called when it is known that this takes a while."""

    async def end_others(self, wanted: Collection[str], /) -> None:
        """End what there is beside these VMs."""
