"""The prompt and the proxy do the same: on twins of a modelled QEMU a command has the same answer, effects and record."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from shim.graph.policy import Mode, Overwrite, Policy
from shim.hmp.line import HMPLine
from shim.qmp import QEMUVersion
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Node, Snapshot, VMFaults, When, disk, two_disks, uefi_vm
from tests.support.proxy.running_vm_proxy import RunningServer, talk
from tests.support.raw_client import RawClient, command_bytes
from tests.support.repl.executing import comparable, executing, spelled

LIFE: Final = (
    *("info snapshots", "savevm t", "savevm t", "info snapshots", "loadvm t", "delvm t", "delvm t", "loadvm t", "savevm"),
    *('savevm "a b"', "savevm a b", 'savevm "a', "loadvm", "savevmx", "info status", "info", "", "  savevm\tt\n", "delvm/t"),
)


def duplicated() -> list[Node]:
    return disk("d0", device="", snapshots=[Snapshot("1", "t", 9), Snapshot("2", "t", 9)])


def partial() -> list[Node]:
    return [*disk("d0", device="", snapshots=[Snapshot("1", "t", 9)]), *disk("d1", device="")]


CASES: Final[dict[str, tuple[Callable[[], FakeQEMU], Sequence[str], Policy, Sequence[str]]]] = {
    "life": (lambda: FakeQEMU(two_disks()), (), Policy(), LIFE),
    "varstore": (lambda: FakeQEMU(uefi_vm()), (), Policy(), LIFE),
    "no disk": (lambda: FakeQEMU(), (), Policy(), LIFE),
    "old": (lambda: FakeQEMU(two_disks(), version=QEMUVersion(5, 2, 0)), (), Policy(), LIFE),
    "duplicated": (lambda: FakeQEMU(duplicated()), (), Policy(), ("loadvm t", "delvm t", "loadvm t", "savevm t")),
    "partial": (lambda: FakeQEMU(partial()), (), Policy(), ("loadvm t", "info snapshots", "savevm t", "loadvm t")),
    "graph": (lambda: FakeQEMU(two_disks(), vm_faults=VMFaults(is_graph_refused=True)), (), Policy(), ("savevm t", "delvm t")),
    "blocked": (
        lambda: FakeQEMU(two_disks(), vm_faults=VMFaults(migration_blocker="a device")),
        *((), Policy(), ("savevm t", "loadvm t")),
    ),
    "failing": (
        lambda: FakeQEMU(two_disks(), vm_faults=VMFaults(failures={"snapshot-load": "broken", "snapshot-save": "full"})),
        *((), Policy(), ("savevm t", "loadvm t")),
    ),
    "observe": (
        lambda: FakeQEMU(uefi_vm()),
        *(("--mode", "observe"), Policy(mode=Mode.OBSERVE), ("savevm t", "info snapshots", "delvm t", "nosuch")),
    ),
    "enforce": (
        lambda: FakeQEMU(uefi_vm()),
        *(("--mode", "enforce", "--allow", "info status"), Policy(mode=Mode.ENFORCE, allow=frozenset({"info status"}))),
        ("savevm t", "info block", "info status", "nosuch", "savevm a b", "qemu-io d0 x", "", "delvm t"),
    ),
    "refuse": (
        lambda: FakeQEMU(two_disks()),
        *(("--overwrite", "refuse"), Policy(overwrite=Overwrite.REFUSE), ("savevm t", "savevm t")),
    ),
}


def snapshots(qemu: FakeQEMU) -> dict[str, list[str]]:
    return {node.name: [comparable(snapshot.name) for snapshot in node.snapshots] for node in qemu.vm.graph.nodes}


async def by_prompt(qemu: FakeQEMU, policy: Policy, lines: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    async with executing(qemu.path, policy=policy) as bench:
        return [(await bench.executor.hmp(HMPLine.read(line))).text for line in lines], bench.records


async def by_proxy(qemu: FakeQEMU, options: Sequence[str], lines: Sequence[str]) -> tuple[list[str], list[dict[str, Any]]]:
    async with RunningServer(f"unix:{qemu.path}", *options) as server:
        texts = await talk(server.path, lambda client: [client.hmp(line) for line in lines])
        return texts, server.records


@pytest.mark.parametrize("name", CASES)
def test_same_answers_effects_and_records(name: str) -> None:
    make, options, policy, lines = CASES[name]

    async def run() -> None:
        async with make() as ours, make() as twin:
            texts, records = await by_prompt(ours, policy, lines)
            proxied, its_records = await by_proxy(twin, options, lines)
            assert list(map(comparable, texts)) == list(map(comparable, proxied))
            assert spelled(records) == spelled(its_records)
            assert snapshots(ours) == snapshots(twin)
            assert (ours.vm.run_state, ours.vm.jobs.rows) == (twin.vm.run_state, twin.vm.jobs.rows)

    asyncio.run(run())


# What is under way, and how often the prompt and the proxy have sent it by then: the proxy looks for leftovers at its start.
@pytest.mark.parametrize(
    ("command", "nth", "its_nth"),
    [("query-named-block-nodes", 1, 2), ("snapshot-save", 1, 1), ("query-jobs", 2, 3), ("job-dismiss", 1, 1)],
)
def test_same_record_of_a_lost_connection(command: str, nth: int, its_nth: int) -> None:
    """Only how the loss is seen differs: the prompt's own error, and the end of the client's connection."""

    def dying(nth: int) -> FakeQEMU:
        return FakeQEMU(two_disks(), faults=Faults(drops=[Drop(command, When.RECEIVED, nth, dies=True)]))

    async def run() -> None:
        async with dying(nth) as ours, dying(its_nth) as twin:
            async with executing(ours.path) as bench:
                with pytest.raises(Exception, match="is lost"):
                    await bench.executor.hmp(HMPLine.read("savevm t"))
                records = bench.records
            its_records = await lost_by_proxy(twin)
            assert spelled(records) == spelled([record | {"client_gone": False} for record in its_records])

    asyncio.run(run())


async def lost_by_proxy(qemu: FakeQEMU) -> list[dict[str, Any]]:
    async with RunningServer(f"unix:{qemu.path}") as server:
        await talk(server.path, save_until_lost)
        return server.records


def save_until_lost(client: RawClient) -> None:
    client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}))
    client.expect_eof()
