"""FakeQEMU's switches do what they say; what it says without them is compared with QEMU in integration/."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from shim.qmp import QEMUVersion
from tests.fakes.block import BlockGraph
from tests.fakes.qemu import Backend, Drop, FakeQEMU, Faults, Job, Node, VMFaults, When, two_disks, uefi_vm
from tests.fakes.wire import BadInput, Framer, in_qdict_order
from tests.support.raw_client import ConnectionLostError, DeadlineError, RawClient, command_bytes

SAVE: Final = {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0", "d1"]}
LOAD: Final = SAVE | {"job-id": "k"}


def talk(fake: FakeQEMU, conversation: Callable[[RawClient], Any]) -> Any:
    """Run a blocking conversation in a thread, negotiated, while the fake runs in this loop."""

    def connected() -> Any:
        with RawClient.connect(fake.path) as client:
            client.negotiate()
            return conversation(client)

    return asyncio.to_thread(connected)


def played(fake: FakeQEMU, conversation: Callable[[RawClient], Any]) -> Any:
    """Start the fake, have one conversation, and end it."""

    async def run() -> Any:
        async with fake:
            return await talk(fake, conversation)

    return asyncio.run(run())


def events(client: RawClient) -> list[str]:
    """The events received so far: their names, for a job its status."""
    rows = [json.loads(message) for message in client.transcript]
    return [row.get("data", {}).get("status", row["event"]) for row in rows if "event" in row]


@pytest.mark.parametrize("when", [When.RECEIVED, When.DONE])
def test_drop_before_the_reply_loses_it(when: When) -> None:
    fake = FakeQEMU(two_disks(), faults=Faults(drops=[Drop("snapshot-save", when)], keeps_stale_replies=False))

    async def run() -> None:
        async with fake:
            with pytest.raises(ConnectionLostError):
                await talk(fake, lambda client: client.execute("snapshot-save", SAVE))
            assert fake.vm.graph["d0"].count("t") == (when is When.DONE)
            assert await talk(fake, lambda client: client.returned("query-status"))

    asyncio.run(run())


def test_drop_after_the_reply_gives_it() -> None:
    fake = FakeQEMU(two_disks(), faults=Faults(drops=[Drop("query-name", When.REPLIED, nth=2)]))

    def conversation(client: RawClient) -> bytes:
        assert client.execute("query-name") == {"return": {}}
        assert client.execute("query-name") == {"return": {}}
        return client.expect_eof()

    assert played(fake, conversation) == b""


def test_reply_of_a_dropped_client_goes_to_the_next_one() -> None:
    fake = FakeQEMU(two_disks(), faults=Faults(drops=[Drop("snapshot-save", When.DONE)]))

    async def run() -> None:
        async with fake:
            with pytest.raises(ConnectionLostError):
                await talk(fake, lambda client: client.execute("snapshot-save", SAVE, id="old"))
            with RawClient.connect(fake.path) as client:
                assert "QMP" in await asyncio.to_thread(client.receive)
                assert await asyncio.to_thread(client.receive) == {"return": {}, "id": "old"}

    asyncio.run(run())


def test_death_refuses_the_next_client() -> None:
    fake = FakeQEMU(faults=Faults(drops=[Drop("query-name", When.RECEIVED, dies=True)]))

    async def run() -> None:
        async with fake:
            with pytest.raises(ConnectionLostError):
                await talk(fake, lambda client: client.execute("query-name"))
            with pytest.raises((FileNotFoundError, ConnectionRefusedError, ConnectionLostError)):
                await talk(fake, lambda client: client.execute("query-name"))

    asyncio.run(run())


def test_quit_answers_and_ends() -> None:
    def conversation(client: RawClient) -> bytes:
        assert client.execute("quit") == {"return": {}}
        return client.expect_eof()

    fake = FakeQEMU()
    assert played(fake, conversation) == b""
    assert fake.commands == ["qmp_capabilities", "quit"]


def test_held_command_has_its_effect_and_waits_with_its_reply() -> None:
    fake = FakeQEMU(two_disks())

    async def run() -> None:
        async with fake:
            fake.hold("snapshot-save")
            replied = asyncio.create_task(talk(fake, lambda client: client.execute("snapshot-save", SAVE)))
            await fake.reached("snapshot-save")
            assert fake.vm.graph["d0"].count("t") == 1
            assert not replied.done()
            fake.release("snapshot-save")
            assert await replied == {"return": {}}

    asyncio.run(run())


def test_command_held_on_receipt_has_no_effect() -> None:
    fake = FakeQEMU(two_disks())

    async def run() -> None:
        async with fake:
            fake.hold("snapshot-save", When.RECEIVED)
            replied = asyncio.create_task(talk(fake, lambda client: client.execute("snapshot-save", SAVE)))
            await fake.reached("snapshot-save")
            assert fake.vm.graph["d0"].count("t") == 0
            fake.release()
            assert await replied == {"return": {}}

    asyncio.run(run())


def test_out_of_band_answer_overtakes_a_held_command() -> None:
    fake = FakeQEMU(two_disks())

    def conversation(client: RawClient) -> list[Any]:
        client.negotiate(oob=True)
        client.send(command_bytes("query-name", id=1) + b'{"exec-oob": "query-yank", "id": 2}\n')
        return [client.receive()["id"]]

    async def run() -> None:
        async with fake:
            fake.hold("query-name")
            with RawClient.connect(fake.path) as client:
                assert await asyncio.to_thread(conversation, client) == [2]
                fake.release()
                assert (await asyncio.to_thread(client.receive))["id"] == 1

    asyncio.run(run())


@pytest.mark.parametrize("announces_late", [True, False])
def test_job_stays_running_for_so_many_queries(announces_late: bool) -> None:
    fake = FakeQEMU(two_disks(), vm_faults=VMFaults(running_queries=2, announces_late=announces_late))

    def conversation(client: RawClient) -> tuple[list[str], list[str]]:
        client.execute("snapshot-save", SAVE)
        statuses = [client.returned("query-jobs")[0]["status"] for _ in range(3)]
        return statuses, events(client)

    statuses, seen = played(fake, conversation)
    assert statuses == ["running", "running", "concluded"]
    late = ["waiting", "pending", "concluded"] if announces_late else []
    assert seen == ["created", "running", "STOP", "RESUME", *late]


def test_running_job_finishes_when_told() -> None:
    fake = FakeQEMU(two_disks(), vm_faults=VMFaults(running_queries=10**6))

    async def run() -> None:
        async with fake:
            with RawClient.connect(fake.path) as client:
                await asyncio.to_thread(client.negotiate)
                await asyncio.to_thread(client.execute, "snapshot-save", SAVE)
                assert fake.vm.graph["d0"].count("t") == 0
                await fake.finish_jobs()
                await asyncio.to_thread(client.read_until_event, "JOB_STATUS_CHANGE", status="concluded", id="j")
                assert fake.vm.graph["d0"].count("t") == 1

    asyncio.run(run())


def test_failing_save_stops_and_resumes_and_leaves_no_snapshot() -> None:
    text = "Error while writing VM state: Input/output error"
    fake = FakeQEMU(two_disks(), vm_faults=VMFaults(failures={"snapshot-save": text}))

    def conversation(client: RawClient) -> tuple[Any, list[str]]:
        client.execute("snapshot-save", SAVE)
        row = client.returned("query-jobs")[0]
        return (row["status"], row["error"]), events(client)

    outcome = played(fake, conversation)
    assert outcome == (("concluded", text), ["created", "running", "STOP", "RESUME", "aborting", "concluded"])
    assert fake.vm.graph["d0"].snapshots == []


def test_failing_load_leaves_the_vm_stopped_with_its_disks_reverted() -> None:
    fake = FakeQEMU(two_disks(), vm_faults=VMFaults(failures={"snapshot-load": "Error -22 while loading VM state"}))

    def conversation(client: RawClient) -> Any:
        client.execute("snapshot-save", SAVE)
        fake.vm.graph["d1"].content = fake.vm.memory = 7
        client.execute("snapshot-load", LOAD)
        return client.returned("query-status")["status"]

    assert played(fake, conversation) == "restore-vm"
    assert (fake.vm.graph["d1"].content, fake.vm.memory) == (0, 7)


def test_load_brings_back_memory_and_disks() -> None:
    fake = FakeQEMU(two_disks())

    def conversation(client: RawClient) -> None:
        fake.vm.graph["d1"].content = fake.vm.memory = 1
        client.execute("snapshot-save", SAVE)
        fake.vm.graph["d1"].content = fake.vm.memory = 2
        client.execute("snapshot-load", LOAD)

    played(fake, conversation)
    assert (fake.vm.graph["d1"].content, fake.vm.memory) == (1, 1)


def test_bitmap_fails_the_load_behind_the_disks_already_reverted() -> None:
    nodes = two_disks()
    nodes[-1].has_bitmap = True

    def conversation(client: RawClient) -> str:
        client.hmp("savevm t")
        fake.vm.graph["d0"].content = 7
        return client.hmp("loadvm t")

    fake = FakeQEMU(nodes)
    text = played(fake, conversation)
    assert text == "Error: Could not load snapshot 't' on 'd1': Device has active dirty bitmaps\r\n"
    assert fake.vm.graph["d0"].content == 0


def test_migration_blocker_keeps_the_old_snapshot() -> None:
    fake = FakeQEMU(two_disks())

    def conversation(client: RawClient) -> tuple[str, Any]:
        client.hmp("savevm t")
        fake.vm.faults.migration_blocker = "no migration today"
        return client.hmp("savevm t"), client.returned("query-migrate")["blocked-reasons"]

    assert played(fake, conversation) == ("Error: no migration today\r\n", ["no migration today"])
    assert fake.vm.graph["d0"].count("t") == 1


def test_leftover_jobs_are_there_at_start() -> None:
    jobs = [Job("old-1", error="broken"), Job("old-2", "snapshot-load", "running")]
    fake = FakeQEMU(jobs=jobs)

    def conversation(client: RawClient) -> list[Any]:
        rows = client.returned("query-jobs")
        return [
            [(row["id"], row["status"], row.get("error")) for row in rows],
            client.execute("job-dismiss", {"id": "old-2"}),
        ]

    rows, refusal = played(fake, conversation)
    assert rows == [("old-2", "running", None), ("old-1", "concluded", "broken")]
    assert refusal["error"]["desc"] == "Job 'old-2' in state 'running' cannot accept command verb 'dismiss'"


def test_old_qemu_has_no_snapshot_jobs() -> None:
    def conversation(client: RawClient) -> tuple[Any, set[str]]:
        reply = client.execute("snapshot-save", SAVE)
        return reply["error"], {row["name"] for row in client.returned("query-commands")}

    error, names = played(FakeQEMU(two_disks(), version=QEMUVersion(5, 2)), conversation)
    assert error == {"class": "CommandNotFound", "desc": "The command snapshot-save has not been found"}
    assert "human-monitor-command" in names
    assert "snapshot-load" not in names


def test_block_graph_can_be_refused() -> None:
    fake = FakeQEMU(vm_faults=VMFaults(is_graph_refused=True))
    reply = played(fake, lambda client: client.execute("x-debug-query-block-graph"))
    desc = "Unstable command x-debug-query-block-graph disabled by policy"
    assert reply["error"] == {"class": "CommandNotFound", "desc": desc}


def test_muted_command_is_never_answered_and_the_next_client_is_served() -> None:
    fake = FakeQEMU(faults=Faults(mute=frozenset({"query-name"})))

    def conversation(client: RawClient) -> None:
        client.deadline_s = 0.05
        with pytest.raises(DeadlineError):
            client.execute("query-name")

    async def run() -> None:
        async with fake:
            await talk(fake, conversation)
            assert await talk(fake, lambda client: client.execute("query-status"))

    asyncio.run(run())


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b'{"QMP": \r\n'])
def test_greeting_can_be_garbage(greeting: bytes) -> None:
    async def run() -> bytes:
        async with FakeQEMU(faults=Faults(greeting=greeting)) as fake:
            with RawClient.connect(fake.path) as client:
                return await asyncio.to_thread(client.receive_message)

    assert asyncio.run(run()) == greeting


def test_second_client_waits_for_its_greeting() -> None:
    async def run() -> None:
        async with FakeQEMU() as fake:
            with RawClient.connect(fake.path) as first, RawClient.connect(fake.path) as second:
                await asyncio.to_thread(first.negotiate)
                second.deadline_s = 0.05
                with pytest.raises(DeadlineError):
                    await asyncio.to_thread(second.receive)
                first.close()
                second.deadline_s = first.deadline_s
                assert "QMP" in await asyncio.to_thread(second.receive)

    asyncio.run(run())


def test_events_reach_a_negotiated_client_only() -> None:
    async def run() -> list[str]:
        async with FakeQEMU() as fake:
            with RawClient.connect(fake.path) as client:
                await asyncio.to_thread(client.receive)
                await fake.send_event("RESET", {"guest": True, "reason": "guest-reset"})
                await asyncio.to_thread(client.execute, "qmp_capabilities")
                await fake.send_event("STOP")
                await asyncio.to_thread(client.read_until_event, "STOP")
                return events(client)

    assert asyncio.run(run()) == ["STOP"]


@pytest.mark.parametrize("piece_bytes", [1, 7])
def test_output_comes_in_pieces(piece_bytes: int) -> None:
    fake = FakeQEMU(two_disks(), faults=Faults(piece_bytes=piece_bytes))
    assert played(fake, lambda client: client.hmp("savevm t")) == ""


def test_replies_are_coalesced_in_one_write() -> None:
    fake = FakeQEMU(faults=Faults(coalesces=True))

    def conversation(client: RawClient) -> bytes:
        client.send(command_bytes("query-name") * 5)
        return client.socket.recv(4096)

    assert played(fake, conversation) == b'{"return": {}}\r\n' * 5


def test_half_closed_client_gets_its_replies() -> None:
    """As QEMU 7.2: what came before the end of the input is run and answered, then the connection closes."""

    def conversation(client: RawClient) -> bytes:
        client.send(command_bytes("query-name") * 3)
        client.half_close()
        return client.expect_eof()

    assert played(FakeQEMU(), conversation) == b'{"return": {}}\r\n' * 3


def test_received_holds_the_commands_and_their_bytes() -> None:
    raw = b"{ 'execute' : 'query-name',\n 'id':1e3 }"
    fake = FakeQEMU()

    def conversation(client: RawClient) -> list[bytes]:
        client.send(raw)
        return client.read_until_reply()

    assert played(fake, conversation) == [b'{"return": {}, "id": 1000}\r\n']
    assert fake.received_raw[-1] == raw
    assert fake.received[-1] == {"execute": "query-name", "id": 1000.0}


def test_wait_received_waits_for_the_command() -> None:
    async def run() -> list[str]:
        async with FakeQEMU() as fake:
            async with asyncio.TaskGroup() as group:
                group.create_task(talk(fake, lambda client: client.execute("query-status")))
                await fake.wait_received("query-status")
            return fake.commands

    assert asyncio.run(run()) == ["qmp_capabilities", "query-status"]


def test_fake_ends_while_a_client_waits_and_closes_twice() -> None:
    async def run() -> bytes:
        async with FakeQEMU() as fake:
            with RawClient.connect(fake.path) as client:
                await asyncio.to_thread(client.negotiate)
                fake.hold("query-name")
                client.send(command_bytes("query-name"))
                await fake.reached("query-name")
                await fake.close()
                await fake.close()
                return await asyncio.to_thread(client.expect_eof)

    assert asyncio.run(run()) == b""


def test_error_inside_the_fake_is_raised_at_its_end() -> None:
    def conversation(client: RawClient) -> None:
        with pytest.raises(ConnectionLostError):
            client.execute("query-block")

    fake = FakeQEMU([Node("n", "raw", device="d", children={"file": "missing"})])
    with pytest.raises(ExceptionGroup) as raised:
        played(fake, conversation)
    assert raised.group_contains(KeyError)


def test_hmp_set_follows_the_backends_and_then_unused_nodes() -> None:
    nodes = [
        Node("a"),
        Node("b"),
        Node("free"),
        Node("ro", ro=True),
        Node("under"),
        Node("over", children={"backing": "under"}),
    ]
    backends = [Backend("b"), Backend("a", "x"), Backend(None, "cd"), Backend("ro", "r"), Backend("b", qdev="/v0")]
    graph = BlockGraph(nodes, backends)
    assert [node.name for node in graph.hmp_set()] == ["a", "b", "free", "over"]


def test_uefi_vm_blocks_savevm_by_its_varstore() -> None:
    text = played(FakeQEMU(uefi_vm()), lambda client: client.hmp("savevm t"))
    assert text == "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
    fake = FakeQEMU(uefi_vm(varstore="qcow2"))
    assert played(fake, lambda client: client.hmp("savevm t")) == ""
    assert fake.vm.graph["vars"].snapshots[0].vm_state_size > 0


FRAMED: Final = b'{"a": "}{"} {\'b\': \'"\\\'\'}\r\n[1]"x" nonsense\n{"c": {}}{"d": "\\\\"}'
FRAMED_VALUES: Final = [{"a": "}{"}, {"b": "\"'"}, [1], "x", BadInput(), {"c": {}}, {"d": "\\"}]


@pytest.mark.parametrize("seed", range(20))
def test_every_split_of_the_input_gives_the_same_values(seed: int) -> None:
    cuts = sorted(random.Random(seed).sample(range(len(FRAMED)), k=seed))
    framer = Framer()
    ends = [*cuts, len(FRAMED)]
    pieces = [FRAMED[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    assert [value for piece in pieces for _, value in framer.feed(piece)] == FRAMED_VALUES


def test_members_come_in_the_order_of_qdict() -> None:
    """The order of QEMU 7.2's query-status and of an error reply."""
    status = {"running": True, "singlestep": False, "status": "running"}
    assert list(in_qdict_order(status)) == ["status", "singlestep", "running"]
    assert list(in_qdict_order({"error": {}, "id": 1})) == ["id", "error"]
