"""Three clients of different habits at once on one proxy, in front of one QEMU: each gets its own replies, ids and order.

The first is qemu.qmp's QMPClient, which writes no newlines. The second writes single-quoted, indented JSON. The third writes
fifty commands in one go, behind a savevm.
"""

import asyncio
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
from qemu.qmp import QMPClient

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import DIRTYING_ROM, QEMUVM, make_qcow2, make_raw, snapshots_of
from tests.integration.twins import IDS
from tests.support.raw_client import NO_ID, READ_BYTES, RawClient, command_bytes

QUERIES: Final = ("query-status", "query-name", "query-kvm", "query-uuid", "query-jobs")
PIPELINED: Final = 50
ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Shared:
    """A running VM and the proxy that all clients share."""

    vm: QEMUVM
    proxy: ProxyProcess


@pytest.fixture
def shared() -> Iterator[Shared]:
    vm = QEMUVM(["-bios", "rom", "-name", "shared", "-drive", "if=none,id=d0,format=qcow2,file=d0.qcow2,cache=unsafe"])
    try:
        make_raw(vm.path("rom"), len(DIRTYING_ROM), content=DIRTYING_ROM)
        make_qcow2(vm.path("d0.qcow2"))
        with vm, ProxyProcess(vm.folder, vm.qmp_path) as proxy:
            yield Shared(vm, proxy)
    finally:
        vm.close()


def hmp_bytes(line: str, id: object = NO_ID) -> bytes:
    return command_bytes("human-monitor-command", {"command-line": line}, id)


def kinds(messages: Sequence[bytes]) -> list[str]:
    """Name each message: an event's name, or "return" or "error"."""
    decoded = [json.loads(message) for message in messages]
    return [message.get("event") or ("return" if "return" in message else "error") for message in decoded]


def unread(client: RawClient) -> list[bytes]:
    """Take what has come by now, without waiting."""
    client.socket.setblocking(False)
    return client.socket.recv(READ_BYTES).splitlines(keepends=True)


def id_of(reply: dict[str, Any]) -> object:
    return reply.get("id", NO_ID)


# What each client does, to its end.


async def run_qmp_client(path: str, *, rounds: int) -> None:
    """Be a tool on qemu.qmp: it asks for three things at once, and runs HMP commands of its own."""
    client = QMPClient("library")
    await client.connect(path)
    try:
        for number in range(rounds):
            tag = f"library-{number}"
            answers = await asyncio.gather(
                client.execute("query-name"),
                client.execute("human-monitor-command", {"command-line": f"savevm {tag}"}),
                client.execute("query-version"),
            )
            assert answers[0] == {"name": "shared"}
            assert answers[1] == ""
            table = await client.execute("human-monitor-command", {"command-line": "info snapshots"})
            assert f" {tag} " in str(table)
            assert await client.execute("human-monitor-command", {"command-line": f"delvm {tag}"}) == ""
    finally:
        await client.disconnect()


def run_indenting_client(client: RawClient, *, rounds: int) -> None:
    """Be a tool that writes JSON by hand, in pieces, with no newline at the end."""
    command = "{\n  'execute': 'human-monitor-command',\n  'id': '%s',\n  'arguments': {\n    'command-line': '%s'\n  }\n}"
    for number in range(rounds):
        for line in (f"savevm by-hand-{number}", "info status", f"delvm by-hand-{number}"):
            id = f"hand-{number}-{line}"
            raw = (command % (id, line)).encode()
            client.send(raw[:50])
            client.send(raw[50:])
            reply = json.loads(client.read_until_reply()[-1])
            assert reply["id"] == id
            assert reply["return"] == ("VM status: running\r\n" if line == "info status" else "")


def pipeline(number: int) -> tuple[bytes, list[tuple[object, str]]]:
    """Return a savevm and fifty queries behind it as one piece, and the ids and commands in order."""
    commands = [(IDS[at % len(IDS)], QUERIES[at % len(QUERIES)]) for at in range(PIPELINED)]
    raw = hmp_bytes(f"savevm pipelined-{number}", id=number) + b"".join(command_bytes(name, None, id) for id, name in commands)
    return raw, commands


def run_pipelining_client(client: RawClient, *, rounds: int) -> None:
    """Be a tool that does not wait: all answers come behind the savevm's, in order, each with its id."""
    expected = {"query-name": {"name": "shared"}, "query-jobs": []}
    for number in range(rounds):
        raw, commands = pipeline(number)
        client.send(raw)
        assert json.loads(client.read_until_reply()[-1]) == {"return": "", "id": number}
        for id, name in commands:
            reply = json.loads(client.read_until_reply()[-1])
            assert id_of(reply) == id
            assert type(id_of(reply)) is type(id)
            assert reply["return"] == expected.get(name, reply["return"])


def test_three_clients_get_their_own_replies(shared: Shared) -> None:
    async def run_all() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(run_qmp_client(shared.proxy.path, rounds=ROUNDS))
            for run, client in ((run_indenting_client, indenting), (run_pipelining_client, pipelining)):
                group.create_task(asyncio.to_thread(run, client, rounds=ROUNDS))

    with shared.proxy.negotiated() as indenting, shared.proxy.negotiated() as pipelining:
        asyncio.run(run_all())
    tags = [tag for tag, _ in snapshots_of(shared.vm.path("d0.qcow2"))]
    assert tags == [f"pipelined-{number}" for number in range(ROUNDS)]
    saved = [record["command_line"] for record in shared.proxy.records if record["command_line"].startswith("savevm ")]
    assert len(saved) == 3 * ROUNDS
    assert {record["action"] for record in shared.proxy.records if record["command_line"] in saved} == {"rewritten"}


def test_fifty_answers_come_behind_the_savevms(shared: Shared) -> None:
    """Alone with QEMU, the whole transcript is known."""
    with shared.proxy.negotiated() as client:
        raw, commands = pipeline(7)
        client.send(raw)
        first = client.read_until_reply()
        assert kinds(first) == ["STOP", "RESUME", "return"]
        assert json.loads(first[-1]) == {"return": "", "id": 7}
        replies = [client.receive() for _ in commands]
        assert [id_of(reply) for reply in replies] == [id for id, _ in commands]
        assert all("return" in reply for reply in replies)
        # Nothing has come that nobody asked for.
        assert client.returned("query-name") == {"name": "shared"}


def test_commands_behind_a_savevm_see_its_snapshot(shared: Shared) -> None:
    with shared.proxy.negotiated() as client:
        client.send(
            b"".join(hmp_bytes(line, id) for id, line in enumerate(["savevm t", "info snapshots", "delvm t", "info snapshots"]))
        )
        replies = [json.loads(client.read_until_reply()[-1]) for _ in range(4)]
        assert [reply["id"] for reply in replies] == [0, 1, 2, 3]
        assert " t  " in replies[1]["return"]
        assert replies[3]["return"] == "There is no snapshot available.\r\n"


def test_stop_and_resume_reach_everybody_before_the_reply(shared: Shared) -> None:
    """The others read only when the saving client has its reply: nothing more is on its way then."""
    with ExitStack() as stack:
        saving, second, third = (stack.enter_context(shared.proxy.negotiated()) for _ in range(3))
        silent = stack.enter_context(shared.proxy.connect())
        silent.receive_message()
        assert saving.hmp("savevm t") == ""
        assert kinds(saving.transcript[-3:]) == ["STOP", "RESUME", "return"]
        for other in (second, third):
            assert kinds(unread(other)) == ["STOP", "RESUME"]
        # Who has not negotiated sees no event: the reply to its negotiation is the next message.
        assert silent.execute("qmp_capabilities") == {"return": {}}
        assert len(silent.transcript) == 2


def test_other_clients_go_on_while_one_waits(shared: Shared) -> None:
    """QEMU answers nobody while it saves, but nobody waits for what another client has queued."""
    with shared.proxy.negotiated() as saving, shared.proxy.negotiated() as asking:
        assert shared.vm.process is not None
        shared.vm.process.send_signal(signal.SIGSTOP)
        saving.send(b"".join(hmp_bytes(f"savevm t{number}", number) for number in range(10)))
        asking.send(command_bytes("query-name"))
        shared.vm.process.send_signal(signal.SIGCONT)
        assert kinds(asking.read_until_reply()).count("STOP") <= 1
        for number in range(10):
            assert json.loads(saving.read_until_reply()[-1]) == {"return": "", "id": number}
