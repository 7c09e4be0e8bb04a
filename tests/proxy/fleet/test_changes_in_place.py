"""A VM's settings change while its clients are connected, and other VMs notice nothing."""

import asyncio
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.net.sockets import is_answered
from proxy.process import reading
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, records, run, statuses, table, until
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes, negotiated


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp") as name:
        yield Path(name)


class Scene:
    """A daemon with VMs a and b, and a client of a that stays."""

    def __init__(self, folder: Path, running: RunningDaemon, qemus: tuple[FakeQEMU, FakeQEMU], client: RawClient) -> None:
        self.folder = folder
        self.running = running
        self._qemus = qemus
        self.client = client

    def text(self, *lines: str, of_b: tuple[str, ...] = ()) -> str:
        first, second = self._qemus
        return table(first, self.folder / "a", *lines) + table(second, self.folder / "b", *of_b)

    async def reload(self, text: str) -> list[str]:
        self.running.path.write_text(text)
        return list(await self.running.daemon.reload())

    async def ask(self, command_line: str = "nosuch") -> str:
        return await asyncio.to_thread(self.client.hmp, command_line)


def play(folder: Path, scene: Callable[[Scene], Awaitable[None]], *lines: str) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = table(first, folder / "a", *lines), table(second, folder / "b")
            async with RunningDaemon(folder, *tables) as running:
                with await asyncio.to_thread(lambda: negotiated(RawClient.connect(folder / "a"))) as client:
                    await scene(Scene(folder, running, (first, second), client))
                    assert (first.client_count, second.client_count) == (1, 1)

    run(main)


def test_limits_hold_under_clients_that_stay(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(place: Scene) -> None:
        assert await place.reload(place.text("max_clients = 1", "connect_timeout = 3", "client_commands = 5")) == []
        assert await place.ask() == "unknown command: 'nosuch'\r\n"
        with await asyncio.to_thread(RawClient.connect, folder / "a") as other:
            assert await asyncio.to_thread(other.expect_eof) == b""
        assert await place.reload(place.text("client_idle_timeout = 0.01")) == []
        assert await asyncio.to_thread(place.client.expect_eof) == b""
        with await asyncio.to_thread(RawClient.connect, folder / "a") as silent:
            await asyncio.to_thread(silent.receive_message)
            assert await place.reload(place.text("negotiation_timeout = 0.01")) == []
            assert await asyncio.to_thread(silent.expect_eof) == b""
        told = [message for message in caplog.messages if "changed while it is served" in message]
        assert told[0] == "changed while it is served: max_clients, client_commands, connect_timeout"

    play(folder, scene)


def test_limits_of_a_command_hold_from_the_next_one(folder: Path) -> None:
    """Of one that has begun, its own: its client could not know."""
    long = command_bytes("nosuch", {"x": "x" * 2_000_000})
    deep = command_bytes("nosuch", {"x": [[[[]]]]})

    async def scene(place: Scene) -> None:
        client = place.client

        async def is_said(text: str) -> None:
            """QEMU up to 11.0 also says something about the rest of what was too long or too deep."""
            while text not in (await asyncio.to_thread(client.receive_message)).decode():
                pass

        await asyncio.to_thread(client.send, long[:1_500_000])
        low = place.text("max_command_mib = 1", "max_command_nesting = 4", "client_buffer_mib = 1")
        assert await place.reload(low) == []
        await asyncio.to_thread(client.send, long[1_500_000:])
        await is_said("nosuch has not been found")
        client.send(deep)
        await is_said("JSON nesting depth limit exceeded")
        await asyncio.to_thread(client.send, long)
        await is_said("JSON token size limit exceeded")
        assert await place.reload(place.text()) == []
        await asyncio.to_thread(client.send, b"\n" + long)
        await is_said("nosuch has not been found")

    play(folder, scene)


def test_listeners_come_and_go_under_clients_that_stay(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        moved = place.text().replace(f'listen = "unix:{folder}/a"', f'listen = ["unix:{folder}/c", "unix:{folder}/d"]')
        assert await place.reload(moved) == []
        assert [name for name in "abcd" if is_answered(str(folder / name))] == ["b", "c", "d"]
        assert await place.ask("savevm t") == ""
        assert await hmp(folder / "c", "savevm t") == [""]
        terms = moved.replace(f'"unix:{folder}/c"', f'{{ address = "unix:{folder}/c", mode = "0660", errors = "qmp" }}')
        assert await place.reload(terms) == []
        assert stat.S_IMODE(os.stat(folder / "c").st_mode) == 0o660
        prompt = moved.replace("listen = [", f'hmp_listen = "unix:{folder}/e"\nlisten = [')
        assert await place.reload(prompt) == []
        with await asyncio.to_thread(RawClient.connect, folder / "e") as human:
            assert (await asyncio.to_thread(human.receive_message)).startswith(b"QEMU 7.2")
        assert await place.ask("savevm t") == ""

    play(folder, scene)


def test_two_vms_swap_their_listeners(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        swapped = place.text().replace(f'"unix:{folder}/a"', '"X"').replace(f'"unix:{folder}/b"', f'"unix:{folder}/a"')
        assert await place.reload(swapped.replace('"X"', f'"unix:{folder}/b"')) == []
        assert await place.ask("savevm swapped") == ""
        assert "swapped" in (await hmp(folder / "b", "info snapshots"))[0]
        assert "swapped" not in (await hmp(folder / "a", "info snapshots"))[0]

    play(folder, scene)


def test_listener_that_cannot_be_opened_leaves_the_vm_as_it_was(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever has asked is told, and it is tried again."""

    async def scene(place: Scene) -> None:
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(str(folder / "c"))
            taken.listen()
            log = f'audit = "{folder}/log"'
            text = place.text(log, "max_clients = 1").replace(f'listen = "unix:{folder}/a"', f'listen = "unix:{folder}/c"')
            why = f"cannot listen on unix:{folder}/c: another program listens there; stop it or choose another path"
            assert await place.reload(text) == [f"a: {why}"]
            assert f"{why}; it stays as it was, and its change is tried again" in caplog.messages
            assert [vm.problem for vm in statuses(place.running.daemon._fleet)] == [why, None]
            assert await hmp(folder / "a", "savevm t") == [""]
            assert not records(folder / "log")
            # The same again, and then another wish.
            assert await place.reload(text) == [f"a: {why}"]
        (folder / "c").unlink()
        await until(lambda: is_answered(str(folder / "c")) and not is_answered(str(folder / "a")))
        assert [vm.problem for vm in statuses(place.running.daemon._fleet)] == [None, None]
        assert await place.ask("savevm t") == ""
        assert len(records(folder / "log")) == 1

    play(folder, scene)


def test_change_that_failed_is_forgotten_when_it_is_not_wanted_any_more(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        log = f'audit = "{folder}/none/log"'
        (told,) = await place.reload(place.text(log))
        assert told == f"a: cannot write the audit log {folder}/none/log: No such file or directory"
        status, _ = place.running.status()
        assert f"a: {status.problem}" == told  # its name comes with the table
        assert await place.reload(place.text()) == []
        (folder / "none").mkdir()
        assert await place.ask("savevm t") == ""
        assert os.listdir(folder / "none") == []

    play(folder, scene)


def test_records_go_to_another_log(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        await place.ask("info one")
        for name in ("second", "third"):
            refuse = 'audit_failure = "refuse"'
            assert await place.reload(place.text(f'audit = "{folder}/{name}"', *([refuse] * (name == "third")))) == []
            await place.ask(f"savevm {name}")
        assert await place.reload(place.text()) == []
        await place.ask("info nothing")
        assert list(place.running.daemon._fleet.audit_logs._writers) == []

    play(folder, scene, f'audit = "{folder}/first"')
    lines = {name: [record["command_line"] for record in records(folder / name)] for name in ("first", "second", "third")}
    assert (lines["first"], lines["second"]) == (["info one"], ["savevm second"])
    assert lines["third"][0] == "savevm third"


def test_clients_lose_no_bounds_with_their_listener(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A role of the listener, or a rule about it, held for them. They have to come again, by a listener that there is."""
    bounded = f'{{ address = "unix:{folder}/a", role = "read-only" }}'

    async def scene(place: Scene) -> None:
        plain = place.text()
        both = plain.replace(f'listen = "unix:{folder}/a"', f'listen = [{bounded}, "unix:{folder}/c"]')
        assert await place.reload(both) == []
        assert await place.reload(plain.replace(f'"unix:{folder}/a"', f'"unix:{folder}/c"')) == []
        assert await asyncio.to_thread(place.client.expect_eof) == b""
        assert "its listener is not there any more" in caplog.text

    play(folder, scene)


def test_policy_that_misses_something_is_told_to_whoever_asked(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        (told,) = await place.reload(place.text("strict = true", 'exclude = "usbstick"', "max_clients = 3"))
        assert "'usbstick' matches no block node of the VM" in told
        assert told.endswith("; the running policy stays")
        (status, _) = statuses(place.running.daemon._fleet)
        assert [text.partition(": ")[2][:30] for text in status.unmatched] == ["exclude: 'usbstick' matches no"]
        assert await place.reload(place.text("strict = true", 'exclude = "d1"')) == []
        assert statuses(place.running.daemon._fleet)[0].unmatched == ()
        assert await place.reload(place.text('exclude = "nothing"')) == []
        await until(lambda: statuses(place.running.daemon._fleet)[0].unmatched)
        assert await place.reload(place.text()) == []

    play(folder, scene)


def test_policy_that_is_put_back_before_it_was_compared_is_not_used(folder: Path) -> None:
    async def scene(place: Scene) -> None:
        await place.ask()
        qemu = place._qemus[0]
        qemu.hold("query-block")
        place.running.path.write_text(place.text("strict = true", 'exclude = "d1"'))
        first = asyncio.ensure_future(place.running.daemon.reload())
        await qemu.reached("query-block")
        place.running.path.write_text(place.text())
        second = asyncio.ensure_future(place.running.daemon.reload())
        await until(lambda: not place.running.daemon._fleet.wanted["a"].is_strict)
        qemu.release()
        assert (await first, await second) == ([], [])
        assert await place.ask("savevm t") == ""
        assert qemu.vm.graph["d1"].count("t") == 1

    play(folder, scene)


class _Chatter:
    """A client that asks without a pause, in a thread, and counts what it gets."""

    def __init__(self, path: Path) -> None:
        self._client = negotiated(RawClient.connect(path))
        self._may_end = threading.Event()
        self.count = self.wrong = 0
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        while not self._may_end.is_set():
            reply = self._client.execute("query-status", id=self.count)
            self.wrong += reply.get("id") != self.count or "return" not in reply
            self.count += 1

    async def more(self) -> None:
        """Wait until it has been answered again, several times."""
        so_far = self.count
        await until(lambda: self.count > so_far + 3 or not self._thread.is_alive())

    def end(self) -> None:
        self._may_end.set()
        self._thread.join(DEADLINE_S)
        self._client.close()


def test_others_are_served_while_the_file_is_read_and_between_any_two_vms(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get each of their bytes on the connection that they have, also while the disk with the file does not answer."""
    may_go_on, is_reading = threading.Event(), threading.Event()
    original = reading.read_file

    def slow(path: str) -> Any:
        is_reading.set()
        may_go_on.wait(DEADLINE_S)
        return original(path)

    async def scene(place: Scene) -> None:
        monkeypatch.setattr("proxy.process.daemon.read_file", slow)
        chatter = await asyncio.to_thread(_Chatter, folder / "b")
        try:
            for number, line in enumerate(("max_clients = 9", 'mode = "observe"', f'audit = "{folder}/log"', 'errors = "qmp"')):
                is_reading.clear()
                may_go_on.clear()
                place.running.path.write_text(place.text(line))
                reloading = asyncio.ensure_future(place.running.daemon.reload())
                await asyncio.to_thread(is_reading.wait, DEADLINE_S)
                await chatter.more()
                may_go_on.set()
                assert await reloading == [], number
            monkeypatch.undo()
            other = place.text().replace(place._qemus[0].path, str(folder / "none"))
            assert await place.reload(other) == []
            await chatter.more()
            assert await place.reload(place.text()) == []
            await until(lambda: is_answered(str(folder / "a")))
        finally:
            await asyncio.to_thread(chatter.end)
        assert chatter.wrong == 0

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as first,
            FakeQEMU(two_disks()) as second,
            RunningDaemon(folder, table(first, folder / "a"), table(second, folder / "b")) as running,
        ):
            with socket.socket() as unused:
                await scene(Scene(folder, running, (first, second), RawClient(unused)))
            assert second.client_count == 1

    run(main)
