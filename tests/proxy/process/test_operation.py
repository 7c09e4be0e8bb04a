"""What a running process answers to those who ask, and does for those who may act."""

import asyncio
import contextlib
import http.client
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.net.addresses import UnixAddress
from proxy.command_line.invocations import ServeInvocation
from proxy.control import server
from proxy.control.server import Place
from proxy.errors import ListenError
from proxy.fleet.fleet import Fleet
from proxy.process.operation import Operation
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.proxy.asked_sockets import connected, here, short_folder, told
from tests.support.proxy.running_vm_proxy import exists, free_port
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def options(folder: Path, *more: str) -> list[str]:
    return ["--control", str(folder / "control"), "--admin", str(folder / "admin"), *more]


async def read(folder: Path, command: str = "status", **members: Any) -> Any:
    return await told(folder / "control", command, **members)


async def act(folder: Path, command: str, **members: Any) -> Any:
    return await told(folder / "admin", command, **members)


async def vm_of(folder: Path, name: str = "a") -> Any:
    (vm,) = (await read(folder, vm=name))["vms"]
    return vm


async def connect(path: Path) -> RawClient:
    client = await asyncio.to_thread(RawClient.connect, path)
    await asyncio.to_thread(client.negotiate)
    return client


def test_who_asks_first_is_told_of_all(folder: Path) -> None:
    """Also of VMs that have not begun yet when the sockets are there: who asks by name finds each."""

    async def main() -> None:
        names = [f"v{number}" for number in range(50)]
        tables = [table(f"/none/{name}", folder / name) for name in names]
        async with RunningDaemon(folder, *tables, absent=names, options=options(folder)):
            while not exists(folder / "admin"):  # noqa: ASYNC110 - turn by turn, to be the first
                await asyncio.sleep(0)
            answers = await asyncio.gather(read(folder), read(folder, "metrics"), act(folder, "pause", vm=names[-1]))
        assert len(answers[0]["vms"]) == 50
        assert answers[1].count("hmp_proxy_vm_up{") == 50
        assert answers[2] == {"at_work": False, "connected": False}

    run(main)


def test_status_tells_what_there_is(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            tables = table(qemu, folder / "a", 'policy = "hmp"'), table("/none", folder / "b")
            async with RunningDaemon(folder, *tables, absent=["b"], options=options(folder)):
                off = await vm_once(folder, lambda vm: vm["problem"], "b")
                assert (off["state"], off["qemu"], off["clients"], off["audit"]) == ("waited for", None, [], None)
                assert off["problem"].startswith("cannot connect to QEMU at unix:/none")
                with await connect(folder / "a") as idle:
                    assert await hmp(folder / "a", "savevm t") == [""]
                    await hmp(folder / "a", "loadvm no", "info block")
                    qemu.hold("snapshot-delete")
                    waiting = asyncio.create_task(hmp(folder / "a", "delvm t"))
                    await qemu.reached("snapshot-delete")
                    asking = asyncio.create_task(asyncio.to_thread(idle.execute, "query-name"))
                    await until_waits(folder, 2)
                    busy = await vm_of(folder)
                    qemu.release()
                    await waiting
                    await asking
        _check_busy(busy)

    run(main)


async def vm_once(folder: Path, condition: Callable[[Any], object], name: str = "a") -> Any:
    """Return a VM's status once the condition holds for it."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition(vm := await vm_of(folder, name)):  # noqa: ASYNC110 - it is told at a socket
            await asyncio.sleep(0.002)
    return vm


async def until_waits(folder: Path, count: int) -> None:
    """Wait until there are so many clients, and all wait for something."""
    await vm_once(folder, lambda vm: len(vm["clients"]) == count and all(one["waits_for"] for one in vm["clients"]))


def _check_busy(busy: Any) -> None:
    assert (busy["state"], busy["problem"], busy["policy"], busy["mode"]) == ("served", None, "hmp", "rewrite")
    assert busy["qemu"].startswith("7.2")
    waits = ["another's snapshot command", "its own snapshot command"]
    assert [client["waits_for"] for client in busy["clients"]] == waits
    assert [client["pid"] for client in busy["clients"]] == [os.getpid()] * 2
    assert busy["running"]["command"] == "delvm t"
    assert f"pid {os.getpid()}" in busy["running"]["who"]
    totals = busy["totals"]
    assert (totals["clients"], totals["waiting"], totals["reconnects"], totals["cut"]) == (2, 1, 0, 0)
    assert totals["clients_ever"] >= 3
    assert totals["commands"] >= 1  # those that look whether the daemon is there send none
    assert totals["from_clients_bytes"] > 100
    assert totals["from_qemu_bytes"] > 1000
    outcomes = {(one["command"], one["ended"]): one["count"] for one in busy["outcomes"]}
    assert outcomes == {("savevm", "ok"): 1, ("loadvm", "failed"): 1, ("other", "failed"): 1}
    assert [failure["command"] for failure in busy["failures"]] == ["loadvm no"]
    assert {use["command"] for use in busy["deprecated"]} == {"savevm", "loadvm", "info block"}


def test_refused_clients_are_counted(folder: Path) -> None:
    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a", "max_clients = 1"), options=options(folder)),
        ):
            with await only_client(folder):
                before = (await vm_of(folder))["totals"]["refused"]["limit"]
                with RawClient.connect(folder / "a") as refused, pytest.raises(ConnectionLostError):
                    await asyncio.to_thread(refused.receive_message)
                assert (await vm_of(folder))["totals"]["refused"] == {"limit": before + 1, "not_allowed": 0, "tls": 0}
                text = await read(folder, "metrics")
                assert f'hmp_proxy_clients_refused_total{{vm="a",reason="limit"}} {before + 1}.0' in text.splitlines()

    run(main)


async def only_client(folder: Path) -> RawClient:
    """Return a client where one may be, once the one has left that looked whether the daemon is there."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            client = await asyncio.to_thread(RawClient.connect, folder / "a")
            try:
                await asyncio.to_thread(client.negotiate)
            except ConnectionLostError:
                client.close()
            else:
                return client


def test_who_may_only_look_cannot_act(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)):
            for command in ("disconnect", "pause", "resume", "reload", "upgrade"):
                refused = await read(folder, command, vm="a")
                assert refused == "this socket only answers questions; send orders to the --admin socket"
            assert await read(folder, "stop") == "'stop' is not known here; status and metrics are"
            assert (await vm_of(folder))["pause"] is None
            known = "status, metrics, disconnect, pause, resume, reload and upgrade"
            assert await act(folder, "stop") == f"'stop' is not known here; {known} are"
            assert await act(folder, "pause") == "say which VM"
            assert await act(folder, "pause", vm="b") == "no VM 'b' is served; there are a"
            assert [vm["name"] for vm in (await act(folder, "status"))["vms"]] == ["a"]
            assert (await act(folder, "metrics")).startswith("# HELP hmp_proxy_info ")

    run(main)


def test_readers_keep_nobody_from_acting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 1000)
    monkeypatch.setattr(server, "MOST_ASKERS", 3)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)):
            with contextlib.ExitStack() as stack:
                for _ in range(3):
                    stack.enter_context(connected(folder / "control"))
                assert (await act(folder, "pause", vm="a"))["at_work"] is False
                assert await hmp(folder / "a", "info snapshots") != [""]
            await vm_once(folder, lambda vm: vm["state"] == "served")

    run(main)


def test_client_is_disconnected_by_number_or_pid(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)):
            with (
                await connect(folder / "a") as first,
                await connect(folder / "a") as second,
                await connect(folder / "a") as third,
            ):
                numbers = [one["number"] for one in (await vm_once(folder, lambda vm: len(vm["clients"]) == 3))["clients"]]
                (who,) = await act(folder, "disconnect", vm="a", client=str(numbers[1]))
                assert f"pid {os.getpid()}" in who
                with pytest.raises((ConnectionLostError, OSError)):
                    await asyncio.to_thread(second.execute, "query-name")
                await asyncio.to_thread(first.execute, "query-name")
                refused = await act(folder, "disconnect", vm="a", client="no")
                assert refused == "no client of 'a' has the number or pid 'no'; hmp-proxy clients lists them"
                assert len(await act(folder, "disconnect", vm="a", client=str(os.getpid()))) == 2
                for client in (first, third):
                    with pytest.raises((ConnectionLostError, OSError)):
                        await asyncio.to_thread(client.execute, "query-name")
            totals = (await vm_once(folder, lambda vm: not vm["clients"]))["totals"]
            assert (totals["clients"], totals["cut"]) == (0, 3)

    run(main)
    assert "is disconnected, as " in caplog.text
    assert "the operator has asked for it (hmp-proxy disconnect)" in caplog.text


def test_pause_waits_for_what_runs_and_outlasts_qemu(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)):
            qemu.hold("snapshot-save")
            saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            assert await act(folder, "pause", vm="a", no_wait=True) == {"at_work": True, "connected": True}
            pausing = asyncio.create_task(act(folder, "pause", vm="a"))
            await until(lambda: caplog.text.count("are paused, until they are resumed, by") == 2)
            assert not pausing.done()
            qemu.release()
            assert await pausing == {"at_work": False, "connected": True}
            assert await saving == [""]
            qemu.disconnect()
            back = await vm_once(folder, lambda vm: vm["totals"]["reconnects"])
            assert back["pause"]["left_s"] is None
            waiting = asyncio.create_task(hmp(folder / "a", "delvm t"))
            await until_waits(folder, 1)
            (client,) = (await vm_of(folder))["clients"]
            assert client["waits_for"] == "the end of the pause"
            assert await hmp(folder / "a", "info snapshots") != [""]
            assert await act(folder, "resume", vm="a") == {"was_paused": True}
            assert await waiting == [""]
            assert await act(folder, "resume", vm="a") == {"was_paused": False}

    run(main)


def test_pause_that_ends_before_what_runs_is_an_error(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)):
            qemu.hold("snapshot-save")
            saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            refused = await act(folder, "pause", vm="a", for_s=0.001)
            assert refused == "the pause of 'a' ended before the running snapshot command did"
            qemu.release()
            assert await saving == [""]
            assert await act(folder, "pause", vm="a", for_s=1000) == {"at_work": False, "connected": True}
            assert 0 < (await vm_of(folder))["pause"]["left_s"] <= 1000

    run(main)


def test_pause_goes_on_where_the_vm_begins_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)) as running,
        ):
            await hmp(folder / "a", "savevm t")
            await act(folder, "pause", vm="a")
            (folder / "other").symlink_to(qemu.path)
            running.path.write_text(table(f"{folder}/other", folder / "a", "max_clients = 5"))
            assert await act(folder, "reload") == []
            await until(lambda: caplog.text.count("listening on") == 2)
            vm = await vm_once(folder, lambda vm: vm["state"] == "served")
            assert vm["pause"] is not None
            assert [one["command"] for one in vm["outcomes"]] == ["savevm"]

    run(main)


def test_reload_returns_mistakes(folder: Path) -> None:
    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a"), options=options(folder)) as running,
        ):
            running.path.write_text(table(qemu, folder / "a", 'mode = "no"', "colour = 1"))
            mistakes = await act(folder, "reload")
            assert len(mistakes) == 2
            assert all(mistake.startswith(f"{running.path}:") for mistake in mistakes)
            assert (await vm_of(folder))["mode"] == "rewrite"
            qemu.hold("snapshot-save")
            saving = asyncio.create_task(hmp(folder / "a", "savevm t"))
            await qemu.reached("snapshot-save")
            running.stop()
            assert await act(folder, "reload") == ["the proxy is about to end"]
            assert (await vm_of(folder))["state"] == "ending"
            qemu.release()
            await saving

    run(main)


def test_metrics_are_at_their_address_too(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()

    def scrape() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    async def main() -> None:
        more = "--metrics", f"tcp:0.0.0.0:{port}"
        async with (
            FakeQEMU(two_disks()) as qemu,
            RunningDaemon(folder, table(qemu, folder / "a", f'audit = "{folder}/log"'), options=options(folder, *more)),
        ):
            await hmp(folder / "a", "savevm t", "info snapshots")
            scraped, asked = await asyncio.to_thread(scrape), await read(folder, "metrics")
        for text in (scraped, asked):
            samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
            found = {sample.name: sample.value for sample in samples if sample.labels.get("command") == "savevm"}
            assert found["hmp_proxy_command_duration_seconds_count"] == 1
            assert found["hmp_proxy_vm_stopped_seconds_count"] == 1
            assert [s.labels for s in samples if s.name.endswith("records_lost_total")] == [{"log": f"{folder}/log"}]

    run(main)
    assert f"metrics are open to other machines at tcp:0.0.0.0:{port}" in caplog.text


def test_metrics_of_this_machine_alone_are_not_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for address in (f"tcp:127.0.0.1:{free_port()}", f"unix:{folder}/m"):
            async with (
                FakeQEMU(two_disks()) as qemu,
                RunningDaemon(folder, table(qemu, folder / "a"), options=["--metrics", address]),
            ):
                pass

    run(main)
    assert "other machines" not in caplog.text


def test_socket_that_cannot_be_made_leaves_no_other(folder: Path) -> None:
    places = [here(folder / "control"), here(folder / "admin"), Place(UnixAddress("/none/m"))]
    with pytest.raises(ListenError):
        Operation(ServeInvocation((), None, False, False, *places), Fleet((), forgives=True), nothing_to_read)
    assert list(folder.iterdir()) == []


async def nothing_to_read() -> list[str]:
    return []


def test_socket_that_cannot_be_made_ends_the_start(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            with pytest.raises(ListenError):
                async with RunningDaemon(
                    folder, table(qemu, folder / "a"), options=options(folder, "--metrics", "unix:/none/m")
                ):
                    pass
        assert not exists(folder / "control")
        assert not exists(folder / "admin")

    run(main)


def test_folder_of_the_default_path_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    async def main() -> None:
        asked = ["--control", "--admin"]
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a"), options=asked):
            for name in ("control", "admin"):
                assert (await told(folder / "hmp-proxy" / f"{name}.sock", "status"))["pid"] == os.getpid()

    run(main)


def test_every_vm_is_shown_while_all_are_saving(folder: Path) -> None:
    """However busy they are."""
    names = [f"v{number}" for number in range(3)]

    async def main() -> None:
        qemus = [FakeQEMU(two_disks()) for _ in names]
        async with contextlib.AsyncExitStack() as stack:
            for qemu in qemus:
                await stack.enter_async_context(qemu)
            tables = [table(qemu, folder / name) for qemu, name in zip(qemus, names, strict=True)]
            await stack.enter_async_context(RunningDaemon(folder, *tables, options=options(folder)))
            saving = []
            for qemu, name in zip(qemus, names, strict=True):
                qemu.hold("snapshot-save")
                saving.append(asyncio.create_task(hmp(folder / name, f"savevm {name}")))
                await qemu.reached("snapshot-save")
            vms = (await read(folder))["vms"]
            assert [(vm["name"], vm["state"], vm["running"]["command"]) for vm in vms] == [
                (name, "served", f"savevm {name}") for name in names
            ]
            for qemu in qemus:
                qemu.release()
            await asyncio.gather(*saving)

    run(main)
