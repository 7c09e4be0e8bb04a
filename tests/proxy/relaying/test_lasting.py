"""What of a VM outlasts one connection to QEMU."""

import asyncio

from host.net.addresses import DescriptorAddress
from host.settings.config import VMConfig
from proxy.relaying.lasting import Lasting
from shim.plans.jobs import JOB_PREFIX
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.shared import a_shared


def test_ids_are_this_vms_and_no_two_are_alike() -> None:
    async def begin() -> list[Lasting]:
        config, shared = VMConfig(DescriptorAddress(0)), a_shared()
        vms = [await Lasting.begin(config, None, shared) for _ in range(2)]
        await shared.state.finish(DEADLINE_S)
        return vms

    vms = asyncio.run(begin())
    assert vms[0].own_prefix.startswith(JOB_PREFIX)
    assert vms[0].own_prefix == f"{JOB_PREFIX}{vms[0].intents.token}-"
    assert vms[0].own_prefix != vms[1].own_prefix
    ids = [lasting.new_id() for lasting in vms for _ in range(2)]
    assert len(set(ids)) == 4
    assert [own.startswith(vms[0].own_prefix) for own in ids] == [True, True, False, False]
    assert vms[0].shared is vms[1].shared
