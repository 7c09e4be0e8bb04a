"""Two loads of a machine that does not run between them: QEMU crashes at the next `cont` if it has a writable pflash.

That is what a UEFI VM has. QEMU's own HMP refuses to load one with a raw varstore, so there it is the proxy that makes the
second load possible, and has to keep QEMU alive.
"""

from collections.abc import Callable
from typing import Final

import pytest

from tests.integration.uefi_machine import DISK, FLASH, QCOW2_VARS, RAW_VARS, UEFIVM, machine, proxied
from tests.support.raw_client import ConnectionLostError, RawClient

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

WOULD_CRASH: Final = "would crash at the next 'cont': the VM was loaded already and has not run since, and 'pflash1' is"
# SIGABRT and SIGSEGV.
CRASHED: Final = (-6, -11)
# What is used after it was freed may still be as it was.
TRIES: Final = 10


def load_twice(client: RawClient) -> None:
    client.returned("stop")
    for _ in range(2):
        assert client.hmp("loadvm t") == ""


def test_qemu_itself_dies() -> None:
    for _ in range(TRIES):
        with machine(FLASH, QCOW2_VARS, DISK) as vm, vm.negotiated() as client:
            assert client.hmp("savevm t") == ""
            load_twice(client)
            try:
                client.returned("cont")
                client.returned("query-status")
            except ConnectionLostError:
                assert vm.wait_gone() in CRASHED
                return
    pytest.fail("QEMU does not die of it any more")


def saved(uefi: UEFIVM) -> RawClient:
    assert uefi.client.hmp("savevm t") == ""
    return uefi.client


@pytest.mark.parametrize("varstore", [RAW_VARS, QCOW2_VARS], ids=["raw", "qcow2"])
def test_second_load_waits_until_the_machine_has_run(varstore: str) -> None:
    with proxied(FLASH, varstore, DISK) as uefi:
        client = saved(uefi)
        client.returned("stop")
        assert client.hmp("loadvm t") == ""
        assert WOULD_CRASH in client.hmp("loadvm t")
        assert uefi.proxy.records[-1]["action"] == "refused"
        assert uefi.run_state() == "paused"
        client.returned("cont")
        assert uefi.run_state() == "running"
        client.returned("stop")
        assert client.hmp("loadvm t") == ""
        client.returned("cont")
        assert uefi.run_state() == "running"


def failing(client: RawClient) -> None:
    """A load that fails has loaded nothing, and leaves the VM stopped."""
    assert "does not exist" in client.hmp("loadvm nosuch")


def running(client: RawClient) -> None:
    """A VM that runs goes on after its load."""
    assert client.hmp("loadvm t") == ""


@pytest.mark.parametrize("earlier", [failing, running])
def test_load_is_not_the_second_one(earlier: Callable[[RawClient], None]) -> None:
    with proxied(FLASH, RAW_VARS, DISK) as uefi:
        client = saved(uefi)
        for _ in range(2):
            earlier(client)
        assert client.hmp("loadvm t") == ""
        client.returned("cont")
        assert uefi.run_state() == "running"


def test_plan_of_a_load_is_no_load() -> None:
    with proxied(FLASH, RAW_VARS, DISK) as uefi:
        client = saved(uefi)
        client.returned("stop")
        for _ in range(2):
            plan = client.returned("__hmpshim_plan", {"command-line": "loadvm t"})["plan"]
            assert plan["outcome"]["kind"] == "rewritten"
        assert client.hmp("loadvm t") == ""
        plan = client.returned("__hmpshim_plan", {"command-line": "loadvm t"})["plan"]
        assert plan["outcome"]["kind"] == "refused"


def test_machine_without_a_pflash_is_loaded_as_often_as_one_likes() -> None:
    with proxied("-bios code.rom", DISK) as uefi:
        load_twice(saved(uefi))
        uefi.client.returned("cont")
        assert uefi.run_state() == "running"


def test_guard_can_be_turned_off() -> None:
    with proxied(FLASH, RAW_VARS, DISK, options=["--no-guard"]) as uefi:
        load_twice(saved(uefi))
