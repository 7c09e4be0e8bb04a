"""What `-loadvm` asks for, done by two commands."""

import asyncio
import socket

import pytest

from proxy.net.qmp_connection import QMPConnection
from proxy.wrapping.loading import Load, load_at_start
from tests.fakes.qemu import FakeQEMU, Snapshot, disk

SAVED = Snapshot("1", "with space", vm_state_size=1)


def loaded(load: Load, *, run_state: str = "prelaunch", fails: str | None = None) -> tuple[str | None, list[str], str]:
    """Load on the modelled QEMU: why it failed, the commands that came, and the run state after it."""

    async def run() -> tuple[str | None, list[str], str]:
        async with FakeQEMU(disk("d0", snapshots=[SAVED]), run_state=run_state) as qemu:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, qemu.path)
            ids = iter(range(100))
            connection = QMPConnection(sock, "unix:/q", lambda: f"id-{next(ids)}")
            try:
                await connection.negotiate("vm")
                failure = await load_at_start(load, connection)
            finally:
                connection.close()
            names = [name for name in qemu.commands if not name.startswith("q")]
            return failure, names, qemu.vm.run_state

    return asyncio.run(run())


def test_machine_runs_afterwards() -> None:
    assert loaded(Load("with space", stays_paused=False)) == (None, ["human-monitor-command", "cont"], "running")


def test_machine_stays_paused() -> None:
    failure, commands, state = loaded(Load("with space", stays_paused=True))
    assert (failure, commands) == (None, ["human-monitor-command"])
    assert state != "running"


def test_failure_is_in_qemus_words_and_nothing_runs() -> None:
    failure, commands, _ = loaded(Load("nonesuch", stays_paused=False))
    assert failure == "Snapshot 'nonesuch' does not exist in one or more devices"
    assert commands == ["human-monitor-command"]


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (b'{"return": "Error: one\\r\\ntwo\\r\\n", "id": "id-0"}', "one\ntwo"),
        (b'{"error": {"class": "GenericError", "desc": "not now"}, "id": "id-0"}', "not now"),
        (b'{"return": "", "id": "id-0"}', None),
    ],
)
def test_each_kind_of_reply(reply: bytes, failure: str | None) -> None:
    async def run() -> str | None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = QMPConnection(ours, "unix:/q", lambda: "id-0")
        with theirs:
            theirs.sendall(reply + b"\r\n")
            try:
                return await load_at_start(Load("t", stays_paused=True), connection)
            finally:
                connection.close()

    assert asyncio.run(run()) == failure
