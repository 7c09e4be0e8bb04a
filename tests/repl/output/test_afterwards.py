"""What is said after a command. The rest is in tests/integration/planning/test_unplugging_on_qemu.py, at a real QEMU."""

import asyncio
from typing import Final

import pytest

from repl.output.afterwards import afterwards
from repl.results import HMPResult
from shim.hmp.line import HMPLine
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer
from tests.support.repl.executing import Bench, executing, played


def partial() -> FakeQEMU:
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("t", overwrite=True)
    qemu.vm.graph["d1"].snapshots.clear()
    return qemu


def failed(text: str = "Error: it failed\r\n", *, is_refused: bool = False) -> HMPResult:
    return HMPResult(text, True, 0, 0, is_refused=is_refused)


DONE: Final = HMPResult("", False, 0, 0)
HALF_LOADED: Final = "the VM stands still, and its disks have gone back to 't'"


@pytest.mark.parametrize(
    ("asked", "outcome", "told"),
    [
        (HMPLine.read("loadvm t"), failed(), "missing on d1; 'plan loadvm t' says what to type"),
        (HMPLine.read("loadvm t"), DONE, None),
        (HMPLine.read("info snapshots"), failed(), None),
        (HMPLine.read("delvm nosuch"), failed(), None),
        (HMPLine.read("stop"), failed(), None),
        (Execute("stop"), ErrorReply("GenericError", "no"), None),
        (Execute("stop"), ReturnReply({}), None),
    ],
    ids=str,
)
def test_what_is_said(asked: HMPLine | Execute, outcome: HMPResult | Reply, told: str | None) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert await afterwards(bench.executor, asked, outcome) == told

    played(scene, partial())


def saved(error: str | None = None) -> FakeQEMU:
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("t", overwrite=True)
    if error is not None:
        qemu.vm.faults.failures["snapshot-load"] = error
    return qemu


async def said_after_load(bench: Bench) -> str | None:
    line = HMPLine.read("loadvm t")
    result = await bench.executor.hmp(line)
    assert result.is_failure
    return await afterwards(bench.executor, line, result)


@pytest.mark.parametrize("run_state", ["running", "paused"])
@pytest.mark.parametrize(
    ("error", "is_half_loaded"),
    [
        ("Error -22 while loading VM state", True),
        ("Unknown savevm section or instance 'x' 0. Make sure that your current VM setup matches", True),
        ("Could not load snapshot 't' on 'd0': Input/output error", False),
        ("Device 'd0' is writable but does not support snapshots", False),
        ("No block device node 'd0'", False),
    ],
)
def test_load_is_called_half_done_where_its_error_says_so(run_state: str, error: str, is_half_loaded: bool) -> None:
    """To reset the VM would be wrong where no disk has gone back: `cont` alone would keep the guest."""

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        told = await said_after_load(bench)
        assert (told is not None and told.startswith(HALF_LOADED)) is is_half_loaded

    qemu = saved(error)
    if run_state == "paused":
        qemu.vm.stop("paused")
    played(scene, qemu)


@pytest.mark.parametrize("run_state", ["running", "paused"])
@pytest.mark.parametrize(
    "result",
    [
        failed(is_refused=True),
        failed("Error: another monitor changed the VM's disks or snapshots meanwhile; repeat the command\r\n"),
        failed("Error: 'loadvm' is not allowed here\r\n"),
    ],
    ids=str,
)
def test_load_that_did_not_begin_is_not_half_done(run_state: str, result: HMPResult) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        if run_state == "paused":
            qemu.vm.stop("paused")
        assert await afterwards(bench.executor, HMPLine.read("loadvm t"), result) is None

    played(scene, saved())


def test_vm_that_runs_does_not_stand_still() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        assert await afterwards(bench.executor, HMPLine.read("loadvm t"), failed()) is None

    played(scene, saved())


def test_proxys_answer_says_it_too() -> None:
    async def run() -> None:
        async with (
            saved("Error -22 while loading VM state") as qemu,
            RunningServer(f"unix:{qemu.path}") as proxy,
            executing(proxy.path) as bench,
        ):
            told = await said_after_load(bench)
            assert told is not None
            assert told.startswith(HALF_LOADED)

    asyncio.run(run())
