"""Out-of-band commands through the proxy to a real QEMU that is busy with a save."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from qemu.qmp import QMPClient

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import DIRTYING_ROM, QEMUVM, make_qcow2
from tests.support.raw_client import RawClient, command_bytes
from tests.support.routing.negotiation_cases import IDS

YANK = {"type": "chardev", "id": "qmp"}


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyProcess]:
    machine = QEMUVM(["-bios", "rom", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"], memory="256")
    machine.path("rom").write_bytes(DIRTYING_ROM)
    make_qcow2(machine.path("d0.qcow2"), "1G")
    with machine, ProxyProcess(machine.folder, machine.qmp_path) as started:
        yield started


def with_oob(proxy: ProxyProcess) -> RawClient:
    client = proxy.connect()
    client.negotiate(oob=True)
    return client


def exec_oob(own: object = 1) -> bytes:
    return json.dumps({"exec-oob": "query-yank", "id": own}).encode() + b"\n"


def replies(client: RawClient, count: int) -> list[Any]:
    return [json.loads(client.read_until_reply()[-1]) for _ in range(count)]


@pytest.mark.parametrize("whose", ["own", "another client's"])
def test_it_is_answered_while_a_save_runs(proxy: ProxyProcess, whose: str) -> None:
    with with_oob(proxy) as client, proxy.negotiated() as other:
        saver = client if whose == "own" else other
        saver.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id="save"))
        saver.read_until_event("STOP")
        client.send(exec_oob("oob"))
        (first,) = replies(client, 1)
        assert (first["id"], YANK in first["return"]) == ("oob", True)
        assert saver.socket.gettimeout()
        assert replies(saver, 1) == [{"return": "", "id": "save"}]
        record = proxy.records[-1]
        assert record["command_line"] == "savevm t"


@pytest.mark.parametrize("own", IDS, ids=repr)
def test_id_comes_back_as_it_was(proxy: ProxyProcess, own: object) -> None:
    with with_oob(proxy) as client:
        client.send(exec_oob(own) + b'{"exec-oob":"query-yank"}')
        with_id, without = replies(client, 2)
        assert with_id["id"] == own
        assert "id" not in without
        assert YANK in without["return"]


def test_commands_behind_it_keep_their_order(proxy: ProxyProcess) -> None:
    with with_oob(proxy) as client:
        client.send(b"".join(command_bytes("query-name", id=number) + exec_oob(f"oob-{number}") for number in range(50)))
        found = [reply["id"] for reply in replies(client, 100)]
        assert [own for own in found if isinstance(own, int)] == list(range(50))
        assert [own for own in found if isinstance(own, str)] == [f"oob-{number}" for number in range(50)]


def test_client_without_it_gets_the_error(proxy: ProxyProcess) -> None:
    with with_oob(proxy), proxy.negotiated() as client:
        client.send(exec_oob())
        desc = "QMP input member 'exec-oob' is unexpected"
        assert replies(client, 1) == [{"id": 1, "error": {"class": "GenericError", "desc": desc}}]


def test_a_commands_own_error_comes_back(proxy: ProxyProcess) -> None:
    with with_oob(proxy) as client:
        client.send(b'{"exec-oob":"query-name","id":[1]}')
        desc = "The command query-name does not support OOB"
        assert replies(client, 1) == [{"id": [1], "error": {"class": "GenericError", "desc": desc}}]


def test_client_that_leaves_with_one_under_way(proxy: ProxyProcess) -> None:
    for _ in range(10):
        with with_oob(proxy) as client:
            client.send(exec_oob() * 5)
    with proxy.negotiated() as client:
        assert [reply["id"] for reply in _names(client)] == list(range(20))


def _names(client: RawClient) -> list[Any]:
    client.send(b"".join(command_bytes("query-name", id=number) for number in range(20)))
    return replies(client, 20)


def test_qemu_qmp_enables_it(proxy: ProxyProcess) -> None:
    """The library's client asks for OOB wherever it is offered."""

    async def run() -> None:
        client = QMPClient("test")
        await client.connect(proxy.path)
        try:
            saving = asyncio.create_task(client.execute("human-monitor-command", {"command-line": "savevm t"}))
            stopped = asyncio.create_task(client.events.get())
            assert (await stopped)["event"] == "STOP"
            yanks = await client.execute("query-yank", oob=True)
            assert YANK in yanks  # type: ignore[operator]
            assert await saving == ""
        finally:
            await client.disconnect()

    asyncio.run(run())
