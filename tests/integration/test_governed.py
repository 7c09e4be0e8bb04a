"""What one client can do to the others and to the proxy, on a real QEMU: no more than a client of its own monitor could.

Times are compared with what the same QEMU takes when nobody else is there, in the same run.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.raw_client import DEADLINE_S, TIME_SCALE, RawClient

MIB: Final = 1024 * 1024
STATUS: Final = b'{"execute":"query-status"}\n'
SCHEMA: Final = b'{"execute":"query-qmp-schema"}\n'
FLOOD_S: Final = 1.5 * TIME_SCALE
IDLE: Final = ["-S"]
AS_USERS: Final = (sys.executable, "-m", "proxy")


def command(text: bytes) -> bytes:
    return b'{"execute":"query-name","arguments":{"a":"' + text + b'"}}\n'


# What one client sends over and over, and whether it has OOB.
FLOODS: Final[dict[str, tuple[bytes, bool]]] = {
    "plain commands": (STATUS * 4000, False),
    "HMP commands": (b'{"execute":"human-monitor-command","arguments":{"command-line":"info version"}}\n' * 1000, False),
    "out-of-band commands": (b'{"exec-oob":"query-yank"}\n' * 4000, True),
    "closing brackets": (b"}" * 65536, False),
    "brackets": (b'{"execute":"x","arguments":{"a":[' + b"[]," * (2 * MIB) + b"[]]}}\n", False),
    "a string of 16 MiB": (command(b"a" * (16 * MIB - 100)), False),
    "wide characters": (command("\U0001f600".encode() * (4 * MIB - 100)), False),
    "a string without end": (b'{"a":"' + b"a" * MIB, False),
    "long replies": (SCHEMA * 2000, False),
    "errors behind an unanswered command": (b'{"execute":"query-qmp-schema"}' + b"} " * 65536, False),
}


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    with QEMUVM(IDLE) as running:
        yield running


def took_s(client: RawClient, raw: bytes = STATUS) -> float:
    began = time.monotonic()
    client.send(raw)
    while b'"return"' not in client.receive_message():
        pass
    return time.monotonic() - began


class Flood:
    """Clients that send without end, and never read."""

    def __init__(self, proxy: ProxyProcess, data: bytes, *, count: int = 1, oob: bool = False) -> None:
        self._left: dict[socket.socket, memoryview] = {}
        self._data = data
        for _ in range(count):
            client = proxy.connect()
            client.negotiate(oob=oob)
            client.socket.setblocking(False)
            self._left[client.socket] = memoryview(data)
        self.sent_bytes = 0

    def go_on(self) -> None:
        """Send what can be sent now. One that was cut off stays away."""
        for sock in select.select([], list(self._left), [], 0.01)[1]:
            try:
                count = sock.send(self._left[sock][: 256 * 1024])
            except BlockingIOError:
                continue
            except OSError:
                del self._left[sock]
                sock.close()
                continue
            self.sent_bytes += count
            self._left[sock] = self._left[sock][count:] or memoryview(self._data)

    def leave(self) -> None:
        for sock in self._left:
            sock.close()


def proxy_of(vm: QEMUVM, *options: str) -> ProxyProcess:
    """Return a proxy as users run it: what Python checks in development takes time and memory."""
    return ProxyProcess(vm.folder, vm.qmp_path, ("--stop-timeout", "0", *options), program=AS_USERS)


def test_second_client_is_served_while_the_first_bursts_and_leaves(vm: QEMUVM) -> None:
    """15,000 queries of the schema are minutes of QEMU's time; on a monitor of its own the second one would wait for one."""
    with proxy_of(vm) as proxy, proxy.negotiated() as client:
        schema_s = median(took_s(client, SCHEMA) for _ in range(5))
        flood = Flood(proxy, SCHEMA * 15_000)
        waited_s = []
        began = time.monotonic()
        while time.monotonic() - began < 2 * FLOOD_S:
            flood.go_on()
            waited_s.append(took_s(client))
        flood.leave()
        after_s = [took_s(client) for _ in range(20)]
    assert flood.sent_bytes > 1000
    assert max(waited_s) < 20 * schema_s + 0.5
    assert median(waited_s) < 4 * schema_s + 0.1
    assert max(after_s) < 20 * schema_s + 0.5


@pytest.mark.parametrize("kind", FLOODS)
def test_memory_stays_small_whatever_one_client_sends(kind: str, vm: QEMUVM) -> None:
    data, oob = FLOODS[kind]
    with proxy_of(vm) as proxy:
        flood = Flood(proxy, data, oob=oob)
        began = time.monotonic()
        while time.monotonic() - began < FLOOD_S:
            flood.go_on()
        assert flood.sent_bytes > 10_000
        assert proxy.peak_mib < 64
        flood.leave()


def test_memory_stays_small_with_50_clients_that_do_not_read(vm: QEMUVM) -> None:
    with proxy_of(vm, "--max-user-clients", "64") as proxy:
        flood = Flood(proxy, SCHEMA * 100, count=50)
        began = time.monotonic()
        while time.monotonic() - began < 3 * FLOOD_S:
            flood.go_on()
        assert proxy.peak_mib < 256
        flood.leave()


def test_half_closed_clients_that_do_not_read_keep_their_places(vm: QEMUVM) -> None:
    """What is due to them is in memory, and their sockets are open."""
    with proxy_of(vm, "--max-user-clients", "4") as proxy, ExitStack() as stack:
        for count in range(1, 5):
            client = stack.enter_context(proxy.negotiated())
            client.send(SCHEMA * 8)
            client.half_close()
            wait_for(lambda: proxy.stderr.count("client gone") > count)  # noqa: B023 - called at once
        with proxy.connect() as refused:
            assert refused.expect_eof() == b""
        wait_for(lambda: "there are 4 clients of its user, and no more may be (--max-user-clients)" in proxy.stderr)
        assert client.expect_eof().count(b'{"return": [') == 8
        proxy.negotiated().close()


def test_descriptors_of_clients_leave_enough_for_everything_else(vm: QEMUVM) -> None:
    program = ("prlimit", "--nofile=128", *AS_USERS)
    with ProxyProcess(vm.folder, vm.qmp_path, ("--stop-timeout", "0"), program=program) as proxy, ExitStack() as stack:
        null = stack.enter_context(open("/dev/null"))
        assert proxy.process is not None
        for _ in range(9):
            client = stack.enter_context(proxy.negotiated())
            socket.send_fds(client.socket, [b"{"], [null.fileno()] * 16)
            client.send(b'"execute":"query-status"')  # it is read after what came before
        assert stack.enter_context(proxy.negotiated()).hmp("info version")
        assert len(proxy.records) == 1
        assert len(os.listdir(f"/proc/{proxy.process.pid}/fd")) < 128 - 16
        assert "file descriptors that clients send are closed" in proxy.stderr


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_no_input_of_one_vms_client_holds_up_anothers(tmp_path: Path) -> None:
    """All VMs of a process share one event loop."""
    with QEMUVM(IDLE) as one, QEMUVM(IDLE) as other:
        config = tmp_path / "vms.toml"
        config.write_text(
            f'[defaults]\nstop_timeout = 0\n[[vm]]\nupstream = "unix:{one.qmp_path}"\nlisten = "unix:{tmp_path}/legacy.sock"\n'
            f'[[vm]]\nupstream = "unix:{other.qmp_path}"\nlisten = "unix:{tmp_path}/other.sock"\n'
        )
        with (
            ProxyProcess(tmp_path, None, ("--config", str(config)), program=AS_USERS) as proxy,
            proxy.connect(str(tmp_path / "other.sock")) as client,
        ):
            client.negotiate()
            quiet_s = max(took_s(client) for _ in range(50))
            waited_s = [longest_wait_s(Flood(proxy, data[: 2 * MIB], oob=oob), client) for data, oob in FLOODS.values()]
            assert median(waited_s) < quiet_s + 0.1 * TIME_SCALE


def longest_wait_s(flood: Flood, other: RawClient) -> float:
    """Return the longest that another client waited while a flood was sent."""
    began, waited_s = time.monotonic(), [0.0]
    while time.monotonic() - began < FLOOD_S / 4:
        flood.go_on()
        waited_s.append(took_s(other))
    flood.leave()
    return max(waited_s)
