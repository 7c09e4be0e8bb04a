"""What one client can do to the others and to the proxy, on a real QEMU: no more than a client of its own monitor could.

Times are compared with what the same QEMU takes when nobody else is there, in the same run.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.integration.wire.floods import Flood
from tests.support.proxy.flood_kinds import KINDS, LONG_ID, MIB, SCHEMA, STATUS, STOPPED_KINDS, TERMS, Kind
from tests.support.raw_client import TIME_SCALE, RawClient
from tests.support.waiting import wait_for

pytestmark = pytest.mark.matrix

FLOOD_S: Final = 1.5 * TIME_SCALE
# How long it is looked at whether memory grows, three times.
LOOK_S: Final = 0.8 * TIME_SCALE
RUNS: Final = 3
# 0.2 s where QEMU writes its schema in 25 ms, and other tests run beside.
MOST_SCHEMAS: Final = 8
# So low that a flood is soon at all of its limits, and what still grows is not counted.
LOW_LIMITS: Final = ("--client-buffer", "1", "--max-command-mib", "1")
IDLE: Final = ["-S"]
# With a listener for each of TERMS.
VMS: Final = """
[defaults]
stop_timeout = 0
[[vm]]
upstream = "unix:{one}"
listen = [
    "unix:{folder}/legacy.sock",
    "unix:{folder}/all.sock",
    {{ address = "unix:{folder}/read-only.sock", role = "read-only" }},
    "unix:{folder}/deny.sock",
]
rules = [{{ deny = ["blockdev-backup", "object-add: monitor-*"], listener = "unix:{folder}/deny.sock" }}]
[[vm]]
upstream = "unix:{other}"
listen = "unix:{folder}/other.sock"
"""


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


def proxy_of(vm: QEMUVM, *options: str) -> ProxyProcess:
    return ProxyProcess(vm.folder, vm.qmp_path, ("--stop-timeout", "0", *options))


def test_second_client_is_served_while_the_first_bursts_and_leaves(vm: QEMUVM) -> None:
    """15,000 queries of the schema are minutes of QEMU's time; on a monitor of its own the second one would wait for one."""
    with proxy_of(vm) as proxy, proxy.negotiated() as client:
        schema_s = median(took_s(client, SCHEMA) for _ in range(5))
        flood = Flood(proxy, Kind(SCHEMA * 15_000))
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


@pytest.mark.parametrize("kind", KINDS)
def test_memory_stays_small_whatever_one_client_sends(kind: str, vm: QEMUVM) -> None:
    with proxy_of(vm, *TERMS[KINDS[kind].terms]) as proxy:
        flood = Flood(proxy, KINDS[kind])
        flood.go_on_for(FLOOD_S / 2)
        assert flood.sent_bytes > 10_000
        assert proxy.peak_mib < 64
        flood.leave()


@pytest.mark.parametrize("kind", [*KINDS, *STOPPED_KINDS])
def test_memory_does_not_grow_on_while_one_client_floods(kind: str, vm: QEMUVM) -> None:
    """30 s of it stay under 64 MiB: what it grows by in a second is measured once it is at its limits."""
    flooding = KINDS.get(kind) or STOPPED_KINDS[kind]
    with proxy_of(vm, *LOW_LIMITS, *TERMS[flooding.terms]) as proxy:
        flood = Flood(proxy, flooding, returns=True)
        assert vm.process is not None
        if kind in STOPPED_KINDS:
            os.kill(vm.process.pid, signal.SIGSTOP)
        flood.go_on_for(FLOOD_S / 3)
        first, second, third = (median(resident_mib(proxy, flood)) for _ in range(3))
        flood.leave()
        if kind in STOPPED_KINDS:
            os.kill(vm.process.pid, signal.SIGCONT)
    assert flood.sent_bytes > 10_000
    # What it only takes up now and then goes up once.
    growth_mib = min(second - first, third - second)
    assert third + 30 * growth_mib / LOOK_S < 64


def resident_mib(proxy: ProxyProcess, flood: Flood) -> list[float]:
    """Return how much memory was in use from time to time while a flood went on."""
    mib: list[float] = []
    began = time.monotonic()
    while (passed_s := time.monotonic() - began) < LOOK_S:
        flood.go_on()
        if passed_s > len(mib) * LOOK_S / 30:
            mib.append(proxy.resident_mib)
    return mib


def test_memory_stays_small_with_50_clients_that_do_not_read(vm: QEMUVM) -> None:
    with proxy_of(vm, "--max-clients", "128", "--max-user-clients", "128") as proxy:
        # The proxy's own answers, as long as what asks for them, are soon too much for all clients together.
        for kind, most_s in ((Kind(SCHEMA * 100), 3 * FLOOD_S), (Kind(LONG_ID), 15 * FLOOD_S)):
            flood = Flood(proxy, kind, count=50)
            flood.go_on_for(most_s)
            assert proxy.peak_mib < 256
            flood.leave()
        assert "what is queued for all clients is too much" in proxy.stderr


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
        wait_for(lambda: "its user has as many clients as --max-user-clients allows: 4" in proxy.stderr)
        assert client.expect_eof().count(b'{"return": [') == 8
        proxy.negotiated().close()


def test_descriptors_of_clients_leave_enough_for_everything_else(vm: QEMUVM) -> None:
    program = ("prlimit", "--nofile=128", sys.executable, "-m", "proxy")
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


def test_no_input_of_one_vms_client_holds_up_anothers(tmp_path: Path) -> None:
    """All VMs of a process share one event loop."""
    with QEMUVM(IDLE) as one, QEMUVM(IDLE) as other:
        config = tmp_path / "vms.toml"
        config.write_text(VMS.format(folder=tmp_path, one=one.qmp_path, other=other.qmp_path))
        with (
            ProxyProcess(tmp_path, None, ("--config", str(config))) as proxy,
            proxy.connect(str(tmp_path / "other.sock")) as client,
        ):
            client.negotiate()
            quiet_s = median(took_s(client, SCHEMA) for _ in range(20))
            waited_s = {
                name: median(longest_wait_s(kind, proxy, tmp_path, client) for _ in range(RUNS)) for name, kind in KINDS.items()
            }
            most_s = MOST_SCHEMAS * quiet_s
            # It would go through all that has come before it ends, which takes long.
            proxy.kill()
            assert not {name: f"{wait_s:.3f} of {most_s:.3f} s" for name, wait_s in waited_s.items() if wait_s > most_s}


def longest_wait_s(kind: Kind, proxy: ProxyProcess, folder: Path, other: RawClient) -> float:
    """Return the longest that another VM's client waited while a flood was sent."""
    flood = Flood(proxy, replace(kind, data=kind.data[: 2 * MIB]), path=f"{folder}/{kind.terms}.sock")
    began, waited_s = time.monotonic(), [0.0]
    while time.monotonic() - began < FLOOD_S / 4:
        flood.go_on()
        waited_s.append(took_s(other))
    flood.leave()
    return max(waited_s)
