"""What the old process answers while another takes over, and one VM holds that up."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shim.version import VERSION
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.proxy.asked_sockets import short_folder, told
from tests.support.raw_client import DEADLINE_S

WHO: Final = f"hmpshim {VERSION} (pid {os.getpid()})"
PAUSED: Final = [{"vm": "b", "why": "its snapshot commands are paused"}]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def played(folder: Path, scene: Callable[[RunningDaemon], Awaitable[None]]) -> None:
    """Have a process taken over that has VMs "a" and "b", and is asked at its control sockets. Play the scene when "b" alone is
    still there, as its snapshot commands are paused."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as one, FakeQEMU(two_disks()) as other:
            text = table(one, folder / "a") + table(other, folder / "b")
            asked = ["--control", str(folder / "c"), "--admin", str(folder / "d")]
            old = RunningDaemon(folder, text, options=[*asked, "--replaceable", str(folder / "m")])
            await old.__aenter__()
            assert await hmp(folder / "a", "savevm t") == [""]
            assert (await told(folder / "c", "status"))["replaced_by"] is None
            await told(folder / "d", "pause", vm="b")
            async with RunningDaemon(folder, text, options=[*asked, "--replace", str(folder / "m")]) as new:
                await until(lambda: [vm.state for vm in new.status()] == ["served", "waited for"])
                await scene(old)
                await told(folder / "d", "resume", vm="b")
                await until(old.task.done)
                await until((folder / "c").exists)
                assert await hmp(folder / "b", "savevm t") == [""]

    run(main)


async def status_once(folder: Path, condition: Callable[[Any], object], **members: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while not condition(status := await told(folder / "c", "status", **members)):  # noqa: ASYNC110 - it is told at a socket
            await asyncio.sleep(0.002)
    return status


def test_status_tells_who_takes_over_and_what_that_waits_for(folder: Path) -> None:
    async def scene(old: RunningDaemon) -> None:
        status = await status_once(folder, lambda status: status["replaced_by"]["waits_for"] == PAUSED)
        assert (status["replaced_by"]["pid"], status["replaced_by"]["version"]) == (os.getpid(), VERSION)
        assert status["replaced_by"]["for_s"] > 0
        assert [(vm["name"], vm["state"]) for vm in status["vms"]] == [("a", "handed over"), ("b", "served")]
        assert [vm["count"] for vm in status["vms"][0]["outcomes"]] == [1]
        status = await told(folder / "c", "status", vm="b")
        assert [vm["name"] for vm in status["vms"]] == ["b"]
        assert status["replaced_by"]["waits_for"] == PAUSED

    played(folder, scene)


def test_whoever_asks_for_a_vm_that_was_handed_over_is_told_who_serves_it(folder: Path) -> None:
    async def scene(old: RunningDaemon) -> None:
        handed_over = f"'a' was handed over: {WHO} is taking over, serves it now, and can be asked when this process has ended"
        assert await told(folder / "c", "status", vm="a") == handed_over
        for order in ("pause", "resume", "disconnect"):
            assert await told(folder / "d", order, vm="a") == handed_over
        unknown = f"no VM 'x' is served; there are a, b; {WHO} is taking over, and may serve it"
        assert await told(folder / "c", "status", vm="x") == unknown

    played(folder, scene)


def test_vm_that_was_handed_over_is_still_up_for_prometheus(folder: Path) -> None:
    async def scene(old: RunningDaemon) -> None:
        families = {
            family.name: family.samples for family in text_string_to_metric_families(await told(folder / "c", "metrics"))
        }
        assert {one.labels["vm"]: one.value for one in families["hmp_proxy_vm_up"]} == {"a": 1, "b": 1}
        assert [one.labels["vm"] for one in families["hmp_proxy_commands"]] == ["a"]

    played(folder, scene)


def test_it_is_shown_where_the_log_goes_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scene(old: RunningDaemon) -> None:
        await status_once(folder, lambda status: status["replaced_by"]["waits_for"] == PAUSED)
        capsys.readouterr()
        old.daemon._show_status()  # a signal would come to the new process, as both are this one
        shown = capsys.readouterr().err
        assert "a   handed over " in shown
        assert f"{WHO} has been taking over for " in shown
        assert "not handed over yet: b: its snapshot commands are paused\n" in shown

    played(folder, scene)
