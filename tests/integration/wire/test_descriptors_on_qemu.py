"""File descriptors through the proxy to a real QEMU: each to the command that it came with, and none to another client's."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import DIRTYING_ROM, QEMUVM, make_qcow2
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes

NO_DESCRIPTOR: Final = "No file descriptor supplied via SCM_RIGHTS"
RETRY_S: Final = 0.005


@pytest.fixture(scope="module")
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-bios", "rom", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"], memory="256", observed=True)
    machine.path("rom").write_bytes(DIRTYING_ROM)
    make_qcow2(machine.path("d0.qcow2"), "512M")
    with machine:
        yield machine


@pytest.fixture(scope="module")
def proxy(vm: QEMUVM) -> Iterator[ProxyProcess]:
    with ProxyProcess(vm.folder, vm.qmp_path, ["--listen", f"tcp:127.0.0.1:{PORT}"]) as started:
        yield started


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


PORT: Final = _free_port()


@pytest.fixture
def file() -> Iterator[int]:
    """A descriptor to pass."""
    number = os.open("/dev/null", os.O_RDWR)
    yield number
    os.close(number)


def send(client: RawClient, raw: bytes, *files: int) -> None:
    socket.send_fds(client.socket, [raw], files)


def reply(client: RawClient) -> Any:
    return json.loads(client.read_until_reply()[-1])


def getfd(name: str) -> bytes:
    return command_bytes("getfd", {"fdname": name})


def passed(client: RawClient, raw: bytes, *files: int) -> str | None:
    """Send a command with descriptors; give the error's text, or None for success."""
    send(client, raw, *files)
    text: str | None = reply(client).get("error", {}).get("desc")
    return text


def has(client: RawClient, name: str) -> bool:
    """Tell whether QEMU has a descriptor of that name, and take it away."""
    return "return" in client.execute("closefd", {"fdname": name})


def count_open(proxy: ProxyProcess) -> int:
    assert proxy.process is not None
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


def wait_open(proxy: ProxyProcess, count: int) -> None:
    """Wait until so many are open, or fewer: a client of before may have been on its way out."""
    deadline = time.monotonic() + DEADLINE_S
    while count_open(proxy) > count:
        assert time.monotonic() < deadline, f"{count_open(proxy)} descriptors are open, not {count}"
        time.sleep(RETRY_S)


def test_getfd_and_add_fd(proxy: ProxyProcess, file: int) -> None:
    with proxy.negotiated() as client:
        before = count_open(proxy)
        assert passed(client, getfd("x"), file) is None
        assert has(client, "x")
        send(client, command_bytes("add-fd", {"fdset-id": 7, "opaque": "test"}), file)
        assert reply(client)["return"]["fdset-id"] == 7
        assert [row["fdset-id"] for row in client.returned("query-fdsets")] == [7]
        assert client.execute("remove-fd", {"fdset-id": 7}) == {"return": {}}
        wait_open(proxy, before)


@pytest.mark.parametrize("cut", [*range(0, len(getfd("x")) - 2, 7), len(getfd("x")) - 2])
def test_descriptor_with_any_byte_of_its_command(proxy: ProxyProcess, file: int, cut: int) -> None:
    raw = getfd("x")
    with proxy.negotiated() as client:
        client.send(raw[:cut])
        send(client, raw[cut : cut + 1], file)
        client.send(raw[cut + 1 :])
        assert reply(client) == {"return": {}}
        assert has(client, "x")


def test_many_clients_at_once_get_each_their_own(proxy: ProxyProcess, file: int) -> None:
    def play(number: int) -> list[str | None]:
        with proxy.negotiated() as client:
            errors = [passed(client, getfd(f"n{number}-{turn}"), file) for turn in range(20)]
            assert all(has(client, f"n{number}-{turn}") for turn in range(20))
            return errors

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(play, range(4))) == [[None] * 20] * 4


@pytest.mark.versions
def test_qemu_outlives_descriptors_that_come_while_others_are_busy(proxy: ProxyProcess, file: int) -> None:
    """A byte that comes while it takes one can be its end (proxy/routing/room.py): 10.0 died of 260 to 1,700 of these."""
    has_ended = threading.Event()

    def ask(raw: bytes) -> None:
        with proxy.connect() as client:
            client.negotiate(oob=True)
            while not has_ended.is_set():
                client.send(4 * raw)
                for _ in range(4):
                    assert "return" in reply(client)

    with ThreadPoolExecutor(2) as pool, proxy.negotiated() as client:
        asking = [pool.submit(ask, raw) for raw in (command_bytes("query-name"), b'{"exec-oob":"query-yank"}\n')]
        try:
            errors = {passed(client, getfd("x"), file) for _ in range(1000)}
        finally:
            has_ended.set()
        for each in asking:
            each.result(DEADLINE_S)
    assert errors == {None}


@pytest.mark.parametrize(
    "failing",
    [
        getfd("1x"),
        command_bytes("getfd"),
        command_bytes("getfd", {"fdname": "x", "bogus": 1}),
        command_bytes("add-fd", {"fdset-id": -1}),
        command_bytes("add-fd", {"bogus": 1}),
        command_bytes("human-monitor-command", {"command-line": "getfd x"}),
        b'{"execute":"getfd","exec-oob":"x","arguments":{"fdname":"x"}}\n',
    ],
    ids=lambda raw: raw.decode().strip()[12:60],
)
def test_failing_command_leaves_nothing_for_another_client(proxy: ProxyProcess, file: int, failing: bytes) -> None:
    with proxy.negotiated() as other:
        with proxy.negotiated() as client:
            send(client, failing, file)
            answer = reply(client)
            assert "error" in answer or answer["return"] == f"Error: {NO_DESCRIPTOR}\r\n"
        assert other.execute("getfd", {"fdname": "stolen"}).get("error", {}).get("desc") == NO_DESCRIPTOR
        assert passed(other, getfd("mine"), file) is None
        assert has(other, "mine")
        assert not has(other, "hmpshim-leftover")


def test_hmp_getfd_leaves_the_descriptor_to_the_clients_next_getfd(vm: QEMUVM, proxy: ProxyProcess, file: int) -> None:
    """As it does natively: by human-monitor-command QEMU 7.2 looks at a monitor without a character device."""
    said = []
    for client in (vm.negotiated(observer=True), proxy.negotiated()):
        with client:
            send(client, command_bytes("human-monitor-command", {"command-line": "getfd x"}), file)
            said.append([client.read_until_reply()[-1], json.dumps(client.execute("getfd", {"fdname": "y"}))])
            assert has(client, "y")
    assert said[0] == said[1]


def test_getfd_without_descriptor_gets_nobody_elses(proxy: ProxyProcess, file: int) -> None:
    """Both are under way while QEMU is busy: it has read the descriptor when it comes to the command without one."""
    with proxy.negotiated() as saver, proxy.negotiated() as without, proxy.negotiated() as owner:
        for turn in range(3):
            saver.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}))
            without.read_until_event("STOP")
            without.send(getfd("stolen"))
            send(owner, getfd("mine"), file)
            assert reply(without).get("error", {}).get("desc") == NO_DESCRIPTOR, turn
            assert "return" in reply(owner)
            assert has(owner, "mine")
            assert reply(saver) == {"return": ""}


@pytest.mark.parametrize("raw", [b"", b"  ", getfd("x")[:-3], command_bytes("query-name"), b'{"execute":"getfd"'])
def test_client_that_leaves_leaks_nothing(proxy: ProxyProcess, file: int, raw: bytes) -> None:
    before = count_open(proxy)
    for _ in range(5):
        with proxy.negotiated() as client:
            send(client, raw or b"{", file, file)
    wait_open(proxy, before)


def test_client_that_leaves_before_the_negotiation_leaks_nothing(proxy: ProxyProcess, file: int) -> None:
    before = count_open(proxy)
    with proxy.connect() as client:
        send(client, getfd("x"), file)
        assert b"Expecting capabilities negotiation" in client.read_until_reply()[-1]
    wait_open(proxy, before)


def test_getfd_by_tcp_is_answered_by_qemu(proxy: ProxyProcess) -> None:
    with RawClient.connect(("127.0.0.1", PORT)) as client:
        client.negotiate()
        assert client.execute("getfd", {"fdname": "x"}, 1) == {
            "id": 1, "error": {"class": "GenericError", "desc": NO_DESCRIPTOR},
        }  # fmt: skip
