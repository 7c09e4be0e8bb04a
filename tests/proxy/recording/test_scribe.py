"""What waits for a stuck disk, and what does not, as clients see it."""

import json
import os
import pwd
from typing import Any

import pytest

from host.audit_log.file import FileSink
from host.intents import IntentStore
from proxy.recording import audit_writer
from proxy.recording.disk_thread import DiskThread
from proxy.recording.scribe import Scribe
from proxy.routing.outbox import Outbox
from shim.client import Client
from shim.records.identity import unidentified
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.audit.written_records import record
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until
from tests.support.proxy.stuck_disk import StuckDisk
from tests.support.raw_client import RawClient
from tests.support.routing.pure_router import a_session


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> StuckDisk:
    """A disk with all audit logs and intents, which can be stuck."""
    disk = StuckDisk()
    write, save = FileSink.write, IntentStore.save

    def write_when_it_can(sink: FileSink, line: bytes) -> None:
        disk.wait()
        write(sink, line)

    def save_when_it_can(store: IntentStore, step: Any) -> None:
        disk.wait()
        save(store, step)

    monkeypatch.setattr(FileSink, "write", write_when_it_can)
    monkeypatch.setattr(IntentStore, "save", save_when_it_can)
    return disk


def ask(client: RawClient, line: str, id: int = 1) -> None:
    command = {"execute": "human-monitor-command", "arguments": {"command-line": line}, "id": id}
    client.send(json.dumps(command).encode())


@pytest.mark.parametrize("line", ["savevm t", "info nosuch"])
def test_answer_waits_for_its_record_and_nobody_else_does(disk: StuckDisk, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_writer, "_PATIENCE_S", 1000.0)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            disk.stick()
            ask(client, line)
            await until(lambda: qemu.commands and qemu.commands[-1] in ("human-monitor-command", "job-dismiss"))
            for _ in range(3):
                assert await in_thread(other.execute, "query-name")
            # What the client sends meanwhile is begun, and answered behind.
            client.send(b'{"execute":"query-status","id":2}')
            await until(lambda: qemu.commands[-1] == "query-status")
            assert server.records == []
            disk.go_on()
            replies: list[int] = []
            while len(replies) < 2:
                message = await in_thread(client.receive_message)
                replies += [json.loads(message)["id"]] if b'"event"' not in message else []
            assert replies == [1, 2]
            assert server.records[0]["command_line"] == line

    played(scene, FakeQEMU(two_disks()))


def test_client_that_leaves_has_its_answer_when_its_record_is_written(disk: StuckDisk) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            disk.stick()
            ask(client, "info nosuch")
            client.half_close()
            await until(lambda: "human-monitor-command" in qemu.commands)
            qemu.disconnect()
            disk.go_on()
            assert b'"id": 1' in await in_thread(client.expect_eof)

    played(scene, FakeQEMU(two_disks()))


def test_nothing_is_run_that_is_not_on_record_and_others_are_served(disk: StuckDisk) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            disk.stick()
            ask(client, "info nosuch")
            client.send(b'{"execute":"query-status","id":2}')
            for _ in range(3):
                assert await in_thread(other.execute, "query-name")
            assert not {"human-monitor-command", "query-status"} & set(qemu.commands)
            disk.go_on()
            assert [json.loads(await in_thread(client.receive_message))["id"] for _ in range(2)] == [1, 2]
            assert server.actions() == [("info nosuch", "begun"), ("info nosuch", "passed")]

    played(scene, FakeQEMU(two_disks()), "--audit-failure", "refuse")


def test_client_that_has_gone_when_its_command_is_on_record_at_last_is_not_served(disk: StuckDisk) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            disk.stick()
            ask(client, "info nosuch")
        with await connected(server.path) as other:
            assert await in_thread(other.execute, "query-name")
            disk.go_on()
            await until(lambda: ("info nosuch", "abandoned") in server.actions())
            assert "human-monitor-command" not in qemu.commands

    played(scene, FakeQEMU(two_disks()), "--audit-failure", "refuse", "--abandon-after", "0")


def test_savevm_waits_for_what_it_intends_to_be_on_disk(disk: StuckDisk) -> None:
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("old", overwrite=False)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            disk.stick()
            ask(client, "savevm old")
            await until(lambda: "query-migrate" in qemu.commands)
            assert "snapshot-save" not in qemu.commands
            disk.go_on()
            while b'"id": 1' not in (message := await in_thread(client.receive_message)):
                pass
            assert json.loads(message)["return"] == ""

    played(scene, qemu, "--vmstate", "d1")


def a_scribe() -> Scribe:
    return Scribe(None, IntentStore("unix:/qmp", None), DiskThread("state"), {}, lambda *_: None)


def test_client_is_looked_up_where_there_is_a_log() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            client.send(b'{"execute":"query-name"}')
            ask(client, "info nosuch")
            while b'"id": 1' not in await in_thread(client.receive_message):
                pass
        (record,) = server.records
        assert (record["client"]["pid"], record["client"]["user"]) == (os.getpid(), pwd.getpwuid(os.getuid()).pw_name)
        assert record["client"]["tool"]

    played(scene, FakeQEMU(two_disks()))


def test_without_a_log_nobody_is_looked_up() -> None:
    assert a_scribe().identify(a_session(), Client(1, 2)) is unidentified


def test_without_a_log_nothing_waits() -> None:
    outbox = Outbox()
    outbox.put_on_record(record(), a_session())
    scribe = a_scribe()
    scribe.write_records(outbox)
    scribe.write_notes(outbox)
    assert (outbox.records, outbox.await_records) == ([], {})
