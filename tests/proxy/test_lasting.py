"""What of a VM outlasts one connection to QEMU."""

from host.addresses import DescriptorAddress
from host.config import VMConfig
from proxy.relaying.lasting import Lasting
from proxy.relaying.ledger import Ledger
from shim.jobs import JOB_PREFIX


def test_ids_are_this_vms_and_no_two_are_alike() -> None:
    config = VMConfig(DescriptorAddress(0))
    ledger = Ledger(1)
    vms = [Lasting.of(config, None, ledger) for _ in range(2)]
    assert vms[0].own_prefix.startswith(JOB_PREFIX)
    assert vms[0].own_prefix == f"{JOB_PREFIX}{vms[0].intents.token}-"
    assert vms[0].own_prefix != vms[1].own_prefix
    ids = [lasting.new_id() for lasting in vms for _ in range(2)]
    assert len(set(ids)) == 4
    assert [own.startswith(vms[0].own_prefix) for own in ids] == [True, True, False, False]
    assert vms[0].ledger is vms[1].ledger
