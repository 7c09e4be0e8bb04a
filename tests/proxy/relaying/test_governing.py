"""What settings come to for those who are governed."""

import asyncio

from host.net.addresses import DescriptorAddress
from host.settings.config import VMConfig
from proxy.relaying.governing import dispatcher_of, limits_of
from proxy.relaying.lasting import Lasting
from shim.client import Client
from tests.support.routing.pure_router import ManualClock, a_monitor
from tests.support.routing.shared import a_shared


def test_limits_are_those_of_the_vm() -> None:
    limits = limits_of(VMConfig(DescriptorAddress(0), max_command_bytes=5, max_command_nesting=6, client_commands=7))
    assert (limits.value.token_bytes, limits.value.nesting, limits.commands) == (5, 6, 7)


def test_connections_of_a_vm_share_its_turns() -> None:
    async def run() -> None:
        config = VMConfig(DescriptorAddress(0))
        lasting = await Lasting.begin(config, None, a_shared())
        dispatchers = [dispatcher_of(a_monitor(), config, lasting, ManualClock().clock()) for _ in range(2)]
        lasting.turns.hold(run)
        assert [dispatcher.room.of(dispatcher.add_session(Client())) for dispatcher in dispatchers] == [0, 0]
        assert {dispatcher.own_prefix for dispatcher in dispatchers} == {lasting.own_prefix}

    asyncio.run(run())
