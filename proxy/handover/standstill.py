"""One VM that is to be handed over: the moment at which nothing of it is under way, and its end here once it has a new owner.

This process creates such a moment for whoever is to have the VM: another process (giving.py) or the service manager
(storing.py).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from host.audit_log.losses import Lost
from host.net.addresses import AcceptAddress, StdioAddress
from host.settings.config import VMConfig
from proxy.handover.format import CarriedVM
from proxy.relaying import carrying
from proxy.relaying.carrying import HoldingStill
from proxy.relaying.quiet import PAUSED
from proxy.vm_proxy import VMProxy

__all__ = ["GONE_MEANWHILE", "UNSETTLED", "Standstill", "why_never"]

# How long a VM's clients may wait in the kernel, not counting the time in which a snapshot command runs for them.
_QUIET_S: Final = 1.0
_PLAN_S: Final = 10.0
_LOOK_S: Final = 0.001
_LONG_LOOK_S: Final = 0.02
# Why a VM whose state was already read out is not handed over after all.
GONE_MEANWHILE: Final = "QEMU or a client has gone meanwhile"
UNSETTLED: Final = "it is not settled whether its QEMU is there"


class Standstill:
    """Bring a VM to a standstill: call `no_plan`, `hold` and `carried`, in this order.

    Call `let_go` if it has a new owner then, else `go_on`. Create it in the turn of the loop in which `why_never` returned
    None.
    """

    def __init__(self, proxy: VMProxy) -> None:
        parts = proxy.parts
        assert parts is not None, "why_never has looked in this turn of the loop"
        self._proxy, self._parts = proxy, parts
        self._front, self._lasting, self._relay = parts
        self._still = None if self._relay is None else HoldingStill(self._relay, self._lasting.turns)
        # What the new owner is to report of the audit log.
        self._lost: Lost | None = None

    @property
    def config(self) -> VMConfig:
        return self._proxy.config

    async def no_plan(self) -> str | None:
        """Wait until no snapshot command runs, and let none begin meanwhile. Return why that takes too long, if it does.

        A pause may last for hours, so nobody waits for its end.
        """
        if self._is_paused:
            return PAUSED
        still = self._still
        if still is not None and still.runs_plan:
            still.begin(spares_oob=True)
            if not await _comes_true(lambda: not still.runs_plan, _PLAN_S, _LONG_LOOK_S):
                return "a snapshot command runs"
        return None

    async def hold(self) -> str | None:
        """Wait until nothing is under way, and everything is on disk. Return why that takes too long, if it does.

        While QEMU is away there is nothing to wait for: clients that come wait in the kernel anyway. But a pause outlasts QEMU.
        """
        if self._is_paused:
            return PAUSED
        if self._still is None:
            return None
        self._front.pause()
        self._still.begin(spares_oob=False)
        if await _comes_true(lambda: self._why_not_yet() is None, _QUIET_S, _LOOK_S):
            try:
                async with asyncio.timeout(_QUIET_S):
                    await self._lasting.shared.state.run(lambda: None)
                    if self._lasting.audit is not None:
                        await self._lasting.audit.written()
            except TimeoutError:
                return "records wait for a disk that is stuck"
        return self._why_not_yet()

    @property
    def _is_paused(self) -> bool:
        return self._lasting.turns.pause.is_on

    def carried(self) -> CarriedVM:
        """Return the VM's state as a value, and stop reading QEMU, too."""
        relay = None if self._still is None else self._still.carried()
        exclusions = self.config.policy.exclusions.remembered()
        if self._lasting.audit is not None:
            self._lost = self._lasting.audit.hand_over_losses()
        return CarriedVM(self._front.carried(), relay, self._lasting.intents.to_members(), exclusions, self._lost)

    @property
    def is_as_carried(self) -> bool:
        """Return whether neither QEMU nor a client has gone since `carried`."""
        return self._proxy.parts == self._parts and (self._still is None or self._still.is_as_carried)

    def let_go(self) -> None:
        """Leave the VM to its new owner."""
        self._lost = None
        self._front.let_go()
        if self._relay is not None:
            carrying.let_go(self._relay)
        self._proxy.leave()

    def go_on(self) -> None:
        """Serve the VM as before, unless it was let go, is ending, or its QEMU has gone."""
        lost, self._lost = self._lost, None
        if self._lasting.audit is not None and lost is not None:
            self._lasting.audit.losses.take_back(lost)
        if self._still is not None and self._proxy.parts == self._parts:
            self._still.go_on()
            self._front.start()

    def _why_not_yet(self) -> str | None:
        assert self._still is not None, "it is asked for while QEMU is there"
        if self._front.is_busy:
            return "a client is about to connect"
        # A client that came while others were waited for may be one that cannot be handed over.
        return self._still.why_never() or self._still.why_not_yet()


def why_never(proxy: VMProxy | None) -> str | None:
    """Return what prevents the hand-over; None if nothing does. It may vanish by itself, when a client leaves, say."""
    if proxy is None or (parts := proxy.parts) is None:
        return UNSETTLED
    if (why := _why_never_by(proxy.config)) is not None:
        return why
    _, lasting, relay = parts
    return None if relay is None else HoldingStill(relay, lasting.turns).why_never()


def _why_never_by(config: VMConfig) -> str | None:
    """Return what prevents the hand-over whatever the clients do; None if nothing does."""
    if config.attach is not None:
        return f"it is attached to its QEMU ({config.name_of('attach')})"
    if isinstance(config.upstream, AcceptAddress):
        return "its QEMU connects to the proxy (accept:)"
    if any(isinstance(address, StdioAddress) for address in config.listeners):
        return "its client is at standard input and output"
    return None


async def _comes_true(condition: Callable[[], bool], limit_s: float, look_s: float) -> bool:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not condition():
        if loop.time() > end_s:
            return False
        await asyncio.sleep(look_s)
    return True
