"""One connection to a modelled QEMU with its clients on real sockets: whoever misbehaves harms nobody else."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from host.intents import IntentStore, state_folder
from proxy.net.ends import SocketEnd
from proxy.relaying.relay import Relay
from proxy.routing.plan_runner import LOST
from shim.client import Client
from shim.plans.jobs import JOB_PREFIX
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Job, VMFaults, When, two_disks
from tests.support.proxy.lone_relay import lone_relay
from tests.support.proxy.running_vm_proxy import RunningServer, connected, exists, in_thread, played, talk, until
from tests.support.raw_client import RawClient, command_bytes

MIB: Final = 1024 * 1024


def answer(line: str) -> Callable[[RawClient], str]:
    return lambda client: client.hmp(line)


# --- Clients ----------------------------------------------------------------------------------------------------------


def test_clients_are_served_side_by_side() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        lines = [f"savevm t{number}" for number in range(8)]
        assert await asyncio.gather(*(talk(server.path, answer(line)) for line in lines)) == [""] * 8
        assert qemu.vm.graph["d0"].count("t3") == 1
        assert sorted(server.actions()) == [(line, "rewritten") for line in lines]
        assert {record["client"]["pid"] for record in server.records} == {os.getpid()}
        assert qemu.client_count == 1

    played(scene)


BECOMES_A_SHELL: Final = """
import os, socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
sock.recv(1, socket.MSG_PEEK)  # taken in, and looked at
os.dup2(sock.fileno(), 7)
os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
"""
SHELL_SCRIPT: Final = """
ask() { printf '{"execute": "%s", "arguments": {%s}}' "$1" "$2" >&7; read -r reply <&7; echo "$reply"; }
read -r greeting <&7
ask qmp_capabilities
ask human-monitor-command '"command-line": "info version"'
"""


def test_program_is_the_one_that_sends_the_command() -> None:
    """Not the one that made the connection: a process keeps its sockets when it becomes another program."""

    programs = os.path.realpath("/bin/sh"), os.path.realpath(sys.executable)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        command = [sys.executable, "-c", BECOMES_A_SHELL, server.path, SHELL_SCRIPT]
        done = await in_thread(lambda: subprocess.run(command, capture_output=True, check=True))
        assert b"'info version'" in done.stdout
        (record,) = server.records
        assert (record["client"]["exe"], record["client"]["connected_as"]) == programs

    played(scene)


def test_client_that_never_reads_is_cut_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        stuck, reader = await connected(server.path), await connected(server.path)
        with stuck, reader:
            for number in range(3 * 64):
                await qemu.send_event("BIG", {"number": number, "text": "x" * 32 * 1024})
                messages = await in_thread(reader.read_until_event, "BIG")
                assert len(messages) == 1
            assert await in_thread(reader.hmp, "savevm t") == ""
            # What the kernel had taken comes, and then the end.
            left = await in_thread(stuck.expect_eof)
            assert 0 < len(left) < MIB
        assert "it does not read" in caplog.text

    played(scene, None, "--client-buffer", "1")


def test_client_within_its_bound_gets_all() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as slow:
            for _ in range(100):
                await qemu.send_event("BIG", {"text": "x" * 32 * 1024})
            await qemu.send_event("LAST")
            assert len(await in_thread(slow.read_until_event, "LAST")) == 101

    played(scene)


@pytest.mark.parametrize("manner", ["closes", "resets", "half-closes"])
def test_client_that_vanishes_in_mid_savevm_gets_it_done(manner: str) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("snapshot-save")
        client = await connected(server.path)
        client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id="late"))
        client.send(command_bytes("human-monitor-command", {"command-line": "delvm old"}))
        await qemu.reached("snapshot-save")
        if manner == "half-closes":
            client.half_close()
        else:
            client.close()
        qemu.release()
        await until(lambda: len(server.records) == 2)
        assert [job.id for job in qemu.vm.jobs.rows] == []
        # A client that only sends no more is still there to read. What one that has gone had not begun is dropped.
        gone = manner != "half-closes"
        assert {record["command_line"]: (record["action"], record["client_gone"]) for record in server.records} == {
            "savevm t": ("rewritten", gone),
            "delvm old": ("abandoned" if gone else "rewritten", gone),
        }
        if manner == "half-closes":
            heard = [json.loads(line) for line in (await in_thread(client.expect_eof)).splitlines()]
            assert [value for value in heard if "event" not in value] == [{"return": "", "id": "late"}, {"return": ""}]
            client.close()

    played(scene)


def test_client_that_stops_half_way_through_an_object_harms_nobody() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            client.send(b'{"execute": "quit", "arguments": {"a": [')
            assert await talk(server.path, answer("savevm t")) == ""
        assert await talk(server.path, answer("delvm t")) == ""
        assert "quit" not in qemu.commands

    played(scene)


def test_flood_of_commands_waits_in_the_kernel_and_is_answered_in_order() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name")
        with await connected(server.path) as client:
            total = 1000
            flood = b"".join(command_bytes("query-name", id=[number, "x" * 400]) for number in range(total))
            writing = asyncio.create_task(asyncio.to_thread(client.send, flood))
            await qemu.reached("query-name")
            qemu.release()
            ids = await in_thread(lambda: [client.receive()["id"][0] for _ in range(total)])
            await writing
        assert ids == list(range(total))

    played(scene)


def test_commands_behind_a_running_save_are_held_back_and_then_answered() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("snapshot-save")
        with await connected(server.path) as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id="save"))
            await qemu.reached("snapshot-save")
            total = 1500
            flood = b"".join(command_bytes("query-name", id=number) for number in range(total))
            writing = asyncio.create_task(asyncio.to_thread(client.send, flood))
            assert await talk(server.path, lambda other: other.transcript[-1])
            qemu.release()

            def read() -> list[Any]:
                replies = [json.loads(client.read_until_reply()[-1]) for _ in range(total + 1)]
                return [reply["id"] for reply in replies]

            ids = await in_thread(read)
            await writing
        assert ids == ["save", *range(total)]

    played(scene)


def test_stalled_client_does_not_stop_anybody_else() -> None:
    """Its commands wait behind its own save; another client's go on."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            save = command_bytes("human-monitor-command", {"command-line": "savevm t"})
            await in_thread(client.send, save + b"{" + b" " * MIB)
            assert await in_thread(other.read_until_event, "RESUME")
            assert await in_thread(other.hmp, "delvm t") == ""

    played(scene)


# --- QEMU's output ----------------------------------------------------------------------------------------------------


PIECES: Final = [Faults(piece_bytes=1), Faults(piece_bytes=7), Faults(coalesces=True)]


@pytest.mark.parametrize("faults", PIECES, ids=["1", "7", "all"])
@pytest.mark.parametrize("pretty", [False, True])
def test_output_in_any_pieces(faults: Faults, pretty: bool) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path, pretty=pretty) as client:
            lines = [("savevm t", 1), ("savevm t", 2), ("loadvm t", 3), ("delvm t", 4)]
            for line, number in lines[: 1 if faults.piece_bytes == 1 else None]:
                reply = await in_thread(client.execute, "human-monitor-command", {"command-line": line}, number)
                assert reply == {"return": "", "id": number}
            assert await in_thread(client.returned, "query-jobs") == []
            assert not any(b"hmpshim" in message for message in client.transcript)

    played(scene, FakeQEMU(two_disks(), faults=faults, pretty=pretty))


@pytest.mark.parametrize("announces_late", [True, False], ids=["event", "poll"])
def test_job_that_has_not_concluded_at_the_first_look(announces_late: bool) -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            saving = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm t"))
            if announces_late:
                await until(lambda: any(job.queries_left < queries for job in qemu.vm.jobs.rows))
                await qemu.finish_jobs()
            assert await saving == ""
        assert qemu.vm.jobs.rows == []
        (record,) = server.records
        assert record["qmp"][-1]["execute"] == "job-dismiss"

    queries = 10**6 if announces_late else 2
    faults = VMFaults(running_queries=queries, announces_late=announces_late)
    played(scene, FakeQEMU(two_disks(), vm_faults=faults))


def test_leftover_jobs_are_finished_dismissed_and_audited() -> None:
    """They hold nobody up, and are not shown. A job that looks like one of ours is theirs who made it."""
    fake = FakeQEMU(two_disks())
    prefix = f"{JOB_PREFIX}{IntentStore(f'unix:{fake.path}', state_folder()).token}-"
    fake.vm.jobs.rows += [Job(f"{prefix}1"), Job(f"{prefix}2", status="running"), Job("theirs"), Job("hmpshim-old-3")]

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            rows = await in_thread(client.returned, "query-jobs")
            assert [row["id"] for row in rows] == ["hmpshim-old-3", "theirs"]
            assert await in_thread(client.hmp, "savevm t") == ""
            await qemu.finish_jobs()
            await until(lambda: len(server.records) == 3)
        assert [job.id for job in qemu.vm.jobs.rows] == ["theirs", "hmpshim-old-3"]
        assert sorted(server.actions(), key=repr) == [
            ("savevm t", "rewritten"), (None, "recovered"), (None, "recovered"),
        ]  # fmt: skip

    played(scene, fake)


# --- Losing QEMU ------------------------------------------------------------------------------------------------------


async def be_lost(qemu: FakeQEMU, server: RunningServer, drop: Drop) -> None:
    """Have the connection dropped; drop: its `nth` counts from now on, when what an earlier connection left is looked after."""
    await talk(server.path, answer("info snapshots"))
    qemu.faults.drops = [replace(drop, nth=qemu.commands.count(drop.command) + drop.nth)]


STEPS: Final = [
    ("savevm t", "query-named-block-nodes", 1),
    ("savevm t", "x-debug-query-block-graph", 1),
    ("savevm t", "snapshot-save", 1),
    ("savevm t", "query-jobs", 1),
    ("savevm t", "job-dismiss", 1),
    ("savevm old", "human-monitor-command", 1),
    ("loadvm old", "snapshot-load", 1),
    ("loadvm old", "job-dismiss", 1),
    ("delvm old", "snapshot-delete", 1),
    ("delvm old", "query-jobs", 1),
    ("stop", "human-monitor-command", 1),
]


@pytest.mark.parametrize("when", list(When), ids=lambda when: when.name)
@pytest.mark.parametrize(("line", "command", "nth"), STEPS, ids=[f"{line}-{command}-{nth}" for line, command, nth in STEPS])
def test_qemu_lost_at_a_command(line: str, command: str, nth: int, when: When) -> None:
    """The client gets EOF and nothing invented, and the record says so; what is left behind is put right afterwards."""
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("old", overwrite=False)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        await be_lost(qemu, server, Drop(command, when, nth))
        client = await connected(server.path)
        with client, await connected(server.path) as other:
            client.send(command_bytes("human-monitor-command", {"command-line": line}, id=1))
            replies = [raw for raw in (await in_thread(client.expect_eof)).splitlines() if b'"return"' in raw]
            await in_thread(other.expect_eof)
            record = next(record for record in server.records if record["command_line"] == line)
            last = when is When.REPLIED and command in ("job-dismiss", "human-monitor-command")
            if last:
                assert [json.loads(raw)["id"] for raw in replies] == [1]
                told = json.loads(replies[0])
                assert record["reply"] == told | {"id": str(told["id"])}
            else:
                assert replies == []
                assert (record["reason"], record["reply"], record["command_line"]) == (LOST, None, line)
        await until(lambda: qemu.client_count == 2)
        assert await _talk_when_back(server, answer("info snapshots"))
        await until(lambda: not qemu.vm.jobs.rows)

    played(scene, qemu)


# Where the state does not go where HMP would put it, QEMU's own savevm cannot replace.
REPLACING: Final = [
    *(("safe", command, nth) for command, nth in [("snapshot-save", 1), ("snapshot-delete", 1), ("snapshot-save", 2)]),
    *(("safe", command, nth) for command, nth in [("snapshot-delete", 2), ("query-jobs", 1), ("job-dismiss", 4)]),
    *(("replace", command, nth) for command, nth in [("snapshot-save", 1), ("snapshot-delete", 1), ("snapshot-save", 2)]),
    *(("replace", command, nth) for command, nth in [("query-jobs", 2), ("job-dismiss", 2), ("job-dismiss", 3)]),
]


@pytest.mark.parametrize("when", list(When), ids=lambda when: when.name)
@pytest.mark.parametrize(("overwrite", "command", "nth"), REPLACING)
def test_connection_lost_while_a_tag_is_replaced(overwrite: str, command: str, nth: int, when: When) -> None:
    """After it is back, the tag is there whole and once, and nothing internal is left; the record says what was done."""
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("old", overwrite=False)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        await be_lost(qemu, server, Drop(command, when, nth))
        with await connected(server.path) as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm old"}, id=1))
            heard = await in_thread(client.expect_eof)
        await until(lambda: qemu.client_count == 2)
        assert await _talk_when_back(server, lambda client: client.hmp("delvm unknown")) == ""
        tags = {node.name: [row.name for row in node.snapshots] for node in qemu.vm.graph.nodes if node.driver == "qcow2"}
        assert tags == {"d0": ["old"], "d1": ["old"]}
        assert qemu.vm.jobs.rows == []
        await until(lambda: IntentStore(f"unix:{qemu.path}", state_folder()).written() == [])
        assert next(record for record in server.records if record["command_line"] == "savevm old")["action"] == "rewritten"
        if b'"return"' not in heard and (overwrite, command, nth) != ("replace", "snapshot-save", 1):
            recovered = [record["reason"] for record in server.records if record["action"] == "recovered"]
            assert "savevm 'old', which was to replace a snapshot, was cut off" in "".join(recovered)

    played(scene, qemu, "--vmstate", "d1", "--overwrite", overwrite)


async def _talk_when_back(server: RunningServer, conversation: Callable[[RawClient], str]) -> str:
    """Talk as soon as clients are let in again: until then nobody listens."""
    await until(lambda: exists(server.path))
    return await talk(server.path, conversation)


def test_half_a_reply_is_given_and_then_eof() -> None:
    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        qemu.hold("query-name", When.RECEIVED)
        with await connected(server.path) as client:
            client.send(command_bytes("query-name"))
            await qemu.reached("query-name")
            await qemu.send_raw(b'{"return": {"na')
            qemu.disconnect()
            qemu.release()
            assert await in_thread(client.expect_eof) == b'{"return": {"na'

    played(scene)


def test_client_that_comes_as_qemu_goes_gets_eof() -> None:
    """Both are seen in one turn of the event loop."""

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        client = await connected(server.path)
        qemu.hold("query-name")
        qemu.disconnect()
        others = [RawClient.connect(server.path) for _ in range(5)]
        for one in (client, *others):
            await in_thread(one.expect_eof)
            one.close()

    played(scene)


def test_stale_reply_of_the_earlier_connection_is_delivered_to_nobody() -> None:
    qemu = FakeQEMU(two_disks(), faults=Faults(drops=[Drop("snapshot-save", When.DONE), Drop("query-version", When.DONE)]))

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        for command in (command_bytes("human-monitor-command", {"command-line": "savevm t"}), command_bytes("query-version")):
            client = await _connected_when_back(server)
            with client:
                client.send(command)
                await in_thread(client.expect_eof)
        with await _connected_when_back(server) as client:
            assert await in_thread(client.execute, "query-status", None, 7) == {
                "return": {"running": True, "singlestep": False, "status": "running"}, "id": 7,
            }  # fmt: skip
            assert len(client.transcript) == 3
        assert server.actions()[-1] == (None, "recovered")

    played(scene, qemu)


async def _connected_when_back(server: RunningServer) -> RawClient:
    while True:
        try:
            return await connected(server.path)
        except Exception as exc:
            if "connection closed by the peer" not in str(exc):
                raise
            await asyncio.sleep(0.002)


def test_close_twice_and_after_the_loss() -> None:
    async def run() -> None:
        for is_lost in (False, True):
            (ours, qemu), (end, client) = socket.socketpair(), socket.socketpair()
            with qemu, client:
                relay: Relay = lone_relay(ours)
                relay.start()
                relay.add_client(SocketEnd(end), Client())
                if is_lost:
                    qemu.close()
                    await relay.lost.wait()
                relay.close()
                relay.close()
                assert client.recv(1000).endswith(b"\r\n")
                assert client.recv(1) == b""

    asyncio.run(run())
