"""The prompt's executor on a real QEMU: the CPU that was chosen, and the same record as the proxy's of each command."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest

from shim.graph.policy import Mode, Policy, PolicyKind
from shim.hmp.line import HMPLine
from tests.integration.command_lines import BIOS, FLASH_CODE, disk
from tests.integration.machines import Machine, machine
from tests.integration.outcomes import Images
from tests.integration.twins import normal
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.executing import Bench, executing, spelled

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')}"


def play(path: str, scene: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), executing(path, **options) as bench:
            await scene(bench)

    asyncio.run(run())


# --- The CPU ----------------------------------------------------------------------------------------------------------


def test_chosen_cpu_is_kept_for_the_commands_behind() -> None:
    """QEMU itself forgets it with each human-monitor-command."""

    async def chosen(bench: Bench) -> str:
        (marked,) = [
            line for line in (await bench.executor.hmp(HMPLine.read("info cpus"))).text.splitlines() if line.startswith("*")
        ]
        return marked[:8]

    async def scene(bench: Bench) -> None:
        executor = bench.executor
        assert await chosen(bench) == "* CPU #0"
        for line, number in (("cpu 1", 1), ("  cpu  0 ", 0), ("cpu 1", 1), ("cpu 7", 1), ("cpu", 1), ("cpu x", 1), ("sync", 1)):
            await executor.hmp(HMPLine.read(line))
            assert await chosen(bench) == f"* CPU #{number}", line
        assert "CPU#1" in (await executor.hmp(HMPLine.read("info registers"))).text
        # It is no matter of the commands that jobs do.
        assert (await executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert await chosen(bench) == "* CPU #1"
        # Another QEMU may be behind the socket by then.
        await bench.reconnect()
        assert await chosen(bench) == "* CPU #0"

    with machine(f"{BIOS} {disk('d0')} -smp 2", {"d0.qcow2": ""}) as vm:
        play(vm.vm.qmp_path, scene)


def test_cpu_that_there_is_not_is_a_failure() -> None:
    async def scene(bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read("cpu 7"))
        assert (result.text, result.is_failure) == ("invalid CPU index\r\n", True)

    with machine(f"{BIOS} -smp 2", {}) as vm:
        play(vm.vm.qmp_path, scene)


# --- Beside the proxy -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """What a twin let see: the texts, the records, the snapshots, and how the VM was left."""

    texts: Sequence[str]
    records: Sequence[str]
    images: Images
    run_state: str
    jobs: Sequence[Any]


def course(vm: Machine, texts: Sequence[str], records: Sequence[dict[str, Any]]) -> Course:
    told = [normal(text.encode("ascii", "backslashreplace")) for text in texts]
    normal_records = [normal(record.encode()) for record in spelled(records)]
    return Course(told, normal_records, vm.images, vm.run_state, vm.observer.returned("query-jobs"))


def by_prompt(args: str, images: dict[str, str], lines: Sequence[str], policy: Policy) -> Course:
    texts: list[str] = []
    records: list[dict[str, Any]] = []

    async def scene(bench: Bench) -> None:
        texts.extend([(await bench.executor.hmp(HMPLine.read(line))).text for line in lines])
        records.extend(bench.records)

    with machine(args, images) as vm:
        play(vm.vm.qmp_path, scene, policy=policy)
        return course(vm, texts, records)


def by_proxy(args: str, images: dict[str, str], lines: Sequence[str], options: Sequence[str]) -> Course:
    with machine(args, images) as vm, vm.proxied(*options) as (client, proxy):
        return course(vm, [client.hmp(line) for line in lines], proxy.records)


LINES: Final = (
    *("info snapshots", "savevm t", "savevm t", "info snapshots", "loadvm t", "delvm t", "delvm t", "loadvm t", "cont"),
    *("savevm", 'savevm "a b"', "savevm a b", 'savevm "a', "loadvm", "savevmx", "info status", "nosuch", "", "  savevm\tu\n"),
)
RAW_VARS: Final = "-drive if=pflash,unit=1,format=raw,file=vars.raw"
QCOW2_VARS: Final = "-drive if=pflash,unit=1,format=qcow2,file=vars.qcow2"


@pytest.mark.parametrize(
    ("args", "images", "policy", "options"),
    [
        (DISKS, TWO, Policy(), []),
        (f"{FLASH_CODE} {RAW_VARS} {disk('d0')}", {"vars.raw": "", "d0.qcow2": ""}, Policy(), []),
        (f"{FLASH_CODE} {QCOW2_VARS} {disk('d0')}", {"vars.qcow2": "", "d0.qcow2": ""}, Policy(), []),
        (f"{BIOS} {disk('d0')} {disk('d1', format='raw')}", {"d0.qcow2": "", "d1.raw": ""}, Policy(), []),
        (DISKS, TWO, Policy(PolicyKind.HMP), ["--policy", "hmp"]),
        (DISKS, TWO, Policy(mode=Mode.OBSERVE), ["--mode", "observe"]),
        (DISKS, TWO, Policy(mode=Mode.ENFORCE), ["--mode", "enforce"]),
        (BIOS, {}, Policy(), []),
    ],
    ids=["two disks", "raw varstore", "qcow2 varstore", "raw disk", "hmp", "observe", "enforce", "no disk"],
)
def test_same_texts_records_and_snapshots_as_by_the_proxy(
    args: str, images: dict[str, str], policy: Policy, options: Sequence[str]
) -> None:
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(by_prompt, args, images, LINES, policy)
        its = pool.submit(by_proxy, args, images, LINES, options)
        prompted, proxied = ours.result(), its.result()
    assert prompted.texts == proxied.texts
    for ours_of_one, its_of_one in zip(prompted.records, proxied.records, strict=True):
        assert ours_of_one == its_of_one
    assert prompted == proxied
