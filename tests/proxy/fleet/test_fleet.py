"""The VMs of a process come, go and change while it runs, and no other VM notices."""

import asyncio
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host.log_lines import LogLines
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from host.settings.listener import Listener, Terms
from proxy.errors import UpstreamError
from proxy.fleet.fleet import GIVING, Fleet
from proxy.fleet.successor import Successor
from proxy.fleet.wish import Wish, by_key
from proxy.net.sockets import is_answered
from shim.graph.policy import Mode, Policy
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, records, run, statuses, table, until
from tests.support.raw_client import DEADLINE_S, RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="f", dir="/tmp"))
    yield path
    shutil.rmtree(path)


class Scene:
    """A fleet in front of modelled QEMUs, whose sockets are at the VM's name."""

    def __init__(self, folder: Path, qemus: dict[str, FakeQEMU]) -> None:
        self.folder = folder
        self.qemus = qemus
        self.fleet: Fleet | None = None

    def vm(self, key: str, **members: Any) -> VMConfig:
        usual = {"listen": (UnixAddress(str(self.folder / key)),), "name": key}
        return VMConfig(UnixAddress(self.qemus[key].path), **usual | members)

    async def served(self, *names: str) -> None:
        """Wait until clients can come to these VMs, and to no others."""
        await until(lambda: [name for name in self.qemus if is_answered(str(self.folder / name))] == list(names))


async def want(fleet: Fleet, *vms: VMConfig) -> list[str]:
    """Have a fleet serve these VMs; give what it could not do."""
    return await fleet.want(Wish(by_key(vms, fleet.wanted, forgives=True)))


def play(folder: Path, scene: Any, *names: str) -> None:
    """Play a scene with a fleet that begins with VM "a" of these."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            qemus = {name: await stack.enter_async_context(FakeQEMU(two_disks(), path=f"{folder}/q{name}")) for name in names}
            place = Scene(folder, qemus)
            place.fleet = Fleet([place.vm("a")], forgives=True)
            running = asyncio.create_task(place.fleet.run())
            await place.served("a")
            try:
                await scene(place, place.fleet)
            finally:
                place.fleet.stop()
                async with asyncio.timeout(DEADLINE_S):
                    await running

    run(main)


def test_vm_that_is_new_is_served_and_one_that_is_not_wanted_ends(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", LogLines("p"))

    async def scene(place: Scene, fleet: Fleet) -> None:
        with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
            await asyncio.to_thread(client.negotiate)
            await want(fleet, place.vm("a"), place.vm("b"), place.vm("c"))
            await place.served("a", "b", "c")
            assert await hmp(folder / "c", "savevm t") == [""]
            await want(fleet, place.vm("c"), place.vm("a"))
            await place.served("a", "c")
            # Nobody else has noticed.
            assert await asyncio.to_thread(client.hmp, "savevm t") == ""
            assert len([message for message in client.transcript if b'"event"' in message]) == 2
        lines = [line.removeprefix("p: ") for line in caplog.text.splitlines() if line[3:6] in ("b: ", "c: ")]
        told = sorted(line for line in lines if "listening" not in line)
        assert told == ["b: not served any more, it is not in the file", "b: served from now on", "c: served from now on"]

    play(folder, scene, "a", "b", "c")


def test_vm_that_is_wanted_again_before_it_has_ended_is_served_again(folder: Path) -> None:
    async def scene(place: Scene, fleet: Fleet) -> None:
        await want(fleet, place.vm("a"), place.vm("b"))
        await place.served("a", "b")
        place.qemus["b"].hold("snapshot-save")
        saving = asyncio.create_task(hmp(folder / "b", "savevm t"))
        await place.qemus["b"].reached("snapshot-save")
        await want(fleet, place.vm("a"))
        await want(fleet, place.vm("a"))
        assert [vm.state for vm in statuses(fleet)] == ["served", "ending"]
        await want(fleet, place.vm("a"), place.vm("b"))
        place.qemus["b"].release()
        assert await saving == [""]
        await until(lambda: [vm.state for vm in statuses(fleet)] == ["served", "served"])
        assert await hmp(folder / "b", "savevm u") == [""]

    play(folder, scene, "a", "b")


def test_vm_whose_qemu_is_another_one_begins_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(place: Scene, fleet: Fleet) -> None:
        await want(fleet, place.vm("a"), place.vm("b"))
        await place.served("a", "b")
        with await asyncio.to_thread(RawClient.connect, folder / "b") as client:
            await asyncio.to_thread(client.negotiate)
            caplog.clear()
            other = replace(place.vm("a"), upstream=UnixAddress(place.qemus["c"].path))
            await want(fleet, other, place.vm("b"))
            await until(lambda: place.qemus["c"].client_count == 1 and is_answered(str(folder / "a")))
            assert await hmp(folder / "a", "savevm t") == [""]
            assert caplog.messages[0] == "begins anew, with another connection to QEMU"
            assert await asyncio.to_thread(client.hmp, "savevm t") == ""
            # Back again, before it has ended.
            await want(fleet, place.vm("a"), place.vm("b"))
            await want(fleet, other, place.vm("b"))
            await place.served("a", "b")

    play(folder, scene, "a", "b", "c")


def test_policy_is_changed_under_clients_that_are_connected(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(place: Scene, fleet: Fleet) -> None:
        with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
            await asyncio.to_thread(client.negotiate)
            await want(fleet, place.vm("a", policy=Policy(mode=Mode.ENFORCE)))
            assert (await asyncio.to_thread(client.hmp, "nosuch")).startswith("Error: HMP command 'nosuch' is not allowed")
            await want(fleet, place.vm("a", policy=Policy(mode=Mode.ENFORCE)))
        assert caplog.messages[-1] == "the configuration was read again, and nothing has changed"

    play(folder, scene, "a")


def test_listeners_may_be_described_in_another_way(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What comes to the same is no change."""

    async def scene(place: Scene, fleet: Fleet) -> None:
        address = UnixAddress(str(folder / "a"))
        await want(fleet, place.vm("a", own_listeners=(Listener(address, Terms()),)))
        assert caplog.messages[-1] == "the configuration was read again, and nothing has changed"

    play(folder, scene, "a")


def test_vm_whose_name_changes_keeps_its_clients(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The records and the log have the new name from then on."""
    log = folder / "log"

    async def scene(place: Scene, fleet: Fleet) -> None:
        await want(fleet, place.vm("a", audit=AuditSettings(str(log))))
        with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
            await asyncio.to_thread(client.negotiate)
            for name in ("z", None):
                caplog.clear()
                await want(fleet, place.vm("a", name=name, audit=AuditSettings(str(log))))
                key = name or f"unix:{place.qemus['a'].path}"
                assert caplog.messages[0] == "changed while it is served: name"
                assert [vm.name for vm in statuses(fleet)] == [key]
                assert await asyncio.to_thread(client.hmp, "savevm t") == ""

    play(folder, scene, "a")
    assert [record["vm"] for record in records(log)] == ["z", f"unix:{folder}/qa"]


def test_log_whose_settings_change_is_opened_anew(folder: Path) -> None:
    path = folder / "log"

    async def scene(place: Scene, fleet: Fleet) -> None:
        for audit in (AuditSettings(str(path)), AuditSettings(str(path), keep=2), AuditSettings(str(path), keep=2)):
            await want(fleet, place.vm("a", audit=audit))
            await until(lambda audit=audit: list(fleet.audit_logs._writers) == [audit])  # type: ignore[misc]
            await place.served("a")
            await hmp(folder / "a", "nosuch")

    play(folder, scene, "a")
    assert [record["command_line"] for record in records(path)] == ["nosuch"] * 3


def test_vm_that_ended_by_itself_is_served_again_when_the_file_is_read_again(folder: Path) -> None:
    async def scene(place: Scene, fleet: Fleet) -> None:
        ending = place.vm("b", ends_with_vm=True)
        await want(fleet, place.vm("a"), ending)
        await place.served("a", "b")
        await place.qemus["b"].close()
        await place.served("a")
        await until(lambda: "b" not in fleet._places)
        async with FakeQEMU(two_disks(), path=place.qemus["b"].path):
            await want(fleet, place.vm("a"), ending)
            await place.served("a", "b")

    play(folder, scene, "a", "b")


def test_error_that_is_not_forgiven_ends_it(folder: Path) -> None:
    vm = VMConfig(UnixAddress("/none/q"), (UnixAddress(str(folder / "a")),))
    with pytest.raises(UpstreamError):
        asyncio.run(Fleet([vm], forgives=False).run())


def test_file_says_what_is_served(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="proxy.fleet")

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as first,
            FakeQEMU(two_disks()) as second,
            FakeQEMU(two_disks()) as third,
            RunningDaemon(folder, table(first, folder / "a"), table(second, folder / "b")) as running,
        ):
            changed = table(first, folder / "a", "client_buffer_mib = 1", 'mode = "enforce"')
            await running.read_again(caplog, changed, table(third, folder / "c"))
            await until(lambda: "the configuration was read again" in caplog.text)
            assert [message for message in caplog.messages if not message.startswith("listening")] == [
                "changed while it is served: client_buffer_mib",
                "the policy and the rules were read again",
                "not served any more, it is not in the file",
                "served from now on",
                "the configuration was read again; VMs: 2, new: 1, changed: 1, begun anew: 0, not served any more: 1",
            ]
            await until(lambda: all(is_answered(str(folder / name)) for name in "ac") and not os.path.exists(folder / "b"))
            assert (await hmp(folder / "a", "nosuch"))[0].startswith("Error: HMP command")
            assert await hmp(folder / "c", "savevm t") == [""]

    run(main)


def test_every_line_of_the_log_names_its_vm(folder: Path) -> None:
    handler = logging.StreamHandler(said := io.StringIO())
    handler.setFormatter(LogLines("p"))

    async def scene(place: Scene, fleet: Fleet) -> None:
        await want(fleet, place.vm("a"), place.vm("b"))
        await place.served("a", "b")
        await hmp(folder / "b", "info name")

    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        play(folder, scene, "a", "b")
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
    of_process = ("p: the configuration was read again",)
    lines = [line for line in said.getvalue().splitlines() if not line.startswith(of_process)]
    assert [line for line in lines if not line.startswith(("p: a: ", "p: b: "))] == []
    assert any(line.startswith("p: b: client connected: ") for line in lines)


def test_nothing_is_wanted_of_a_fleet_that_ends(folder: Path) -> None:
    """Also while it goes from VM to VM."""

    async def scene(place: Scene, fleet: Fleet) -> None:
        wanting = asyncio.ensure_future(want(fleet, place.vm("a", max_clients=3), place.vm("b"), place.vm("c")))
        while "b" not in fleet._places:  # noqa: ASYNC110 - it is a matter of turns of the loop
            await asyncio.sleep(0)
        fleet.stop()
        assert await wanting == []
        assert "c" not in fleet._places
        assert await want(fleet, place.vm("a"), place.vm("c")) == []
        assert "c" not in fleet._places

    play(folder, scene, "a", "b", "c")


def test_listeners_that_cannot_be_released_yet_are_tried_again(folder: Path) -> None:
    """The VM that has them ends first, with the command that runs there."""

    async def scene(place: Scene, fleet: Fleet) -> None:
        await want(fleet, place.vm("a", listen=(UnixAddress(str(folder / "a"), holds=True),)), place.vm("b"))
        await place.served("a", "b")
        place.qemus["a"].hold("snapshot-save")
        saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
        await place.qemus["a"].reached("snapshot-save")
        assert await want(fleet, place.vm("b", listen=(UnixAddress(str(folder / "b")), UnixAddress(str(folder / "a"))))) != []
        place.qemus["a"].release()
        await saving
        await until(lambda: [vm.problem for vm in statuses(fleet)] == [None] and is_answered(str(folder / "a")))
        assert place.qemus["b"].client_count == 1
        # One that has ended since has nothing to let go of.
        assert await fleet.want(Wish(dict(fleet.wanted), moving={"a": ()})) == []

    play(folder, scene, "a", "b")


def test_change_that_fails_is_given_up_with_its_vm(folder: Path) -> None:
    async def scene(place: Scene, fleet: Fleet) -> None:
        (told,) = await want(fleet, place.vm("a", audit=AuditSettings(f"{folder}/none/log")))
        assert "No such file" in told
        assert await want(fleet) == []
        await until(lambda: not fleet._places)

    play(folder, scene, "a")


def test_vm_that_is_taken_back_waits_for_the_end_of_what_serves_it(folder: Path) -> None:
    """A fleet that has ended takes nothing back, and one that is being replaced wants nothing else."""

    async def scene(place: Scene, fleet: Fleet) -> None:
        fleet.dismiss("nobody")
        await want(fleet, place.vm("a"), place.vm("b"))
        await place.served("a", "b")
        fleet.dismiss("a")
        await fleet.take_back([place.vm("a")])
        await place.served("a", "b")
        fleet.successor = Successor(None)
        assert await want(fleet) == [GIVING]
        fleet.successor = None
        fleet.stop()
        await fleet.take_back([place.vm("a")])
        assert fleet.by_key.keys() <= {"b"}
        await until(lambda: not fleet.by_key)

    play(folder, scene, "a", "b")
