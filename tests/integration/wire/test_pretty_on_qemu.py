"""Clients of a listener with `pretty=on` get what a pretty monitor of the same QEMU sends, byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from shim.qmp import encode_pretty
from tests.integration.command_lines import disk
from tests.integration.machines import machine
from tests.integration.proxy_process import ProxyProcess
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import RawClient, command_bytes

pytestmark = pytest.mark.versions

ARGS: Final = f"-bios idle.rom -device virtio-balloon -qmp-pretty unix:pretty.sock,server=on,wait=off {disk('d0')} {disk('d1')}"
QUERIES: Final = [
    *("query-qmp-schema", "query-commands", "query-block", "query-named-block-nodes", "query-version", "query-status"),
    *("query-jobs", "query-cpus-fast", "query-chardev", "query-memory-devices", "query-command-line-options"),
    *("query-rx-filter", "query-migrate", "query-hotpluggable-cpus", "query-events", "query-memdev", "query-pci"),
]
IDS: Final = [{}, [], [{}, [], {"a": [[]]}], 'é{}[], :\\"\r\n', 1.5, 0.1, -0.0, 2**63, None, True]
# How many errors each brings. All are read: who leaves while QEMU has some to send can leave its monitor suspended for good.
MALFORMED: Final = {
    **{b"nonsense\n": 1, b'{"execute": 5}\n': 1, b"[]\n": 1, b'{"execute": "stop", "arguments": {"a": 1}}\n': 1},
    b'{"\xff": 1}\n': 4,
}


@dataclass(frozen=True, slots=True)
class Clients:
    """Of one QEMU: of its own pretty monitor, and of the proxy's pretty listener."""

    native: RawClient
    ours: RawClient

    def same(self, data: bytes, replies: int = 1) -> None:
        """Send this to both, one after the other, and compare the messages up to the last of its replies."""
        messages = []
        for client in (self.native, self.ours):
            client.send(data)
            messages.append([message for _ in range(replies) for message in client.read_until_reply()])
        assert messages[1] == messages[0]


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyProcess]:
    options = ["--pretty", "on"]
    with (
        machine(ARGS, {"d0.qcow2": "", "d1.qcow2": ""}) as vm,
        ProxyProcess(vm.vm.folder, vm.vm.qmp_path, options, pretty=True) as running,
    ):
        yield running


@pytest.fixture
def clients(proxy: ProxyProcess) -> Iterator[Clients]:
    native_path = proxy.audit_path.with_name("pretty.sock")
    with RawClient.connect(native_path, pretty=True) as native, proxy.connect() as ours:
        assert ours.receive_message() == native.receive_message()
        yield Clients(native, ours)


@pytest.fixture
def negotiated(clients: Clients) -> Clients:
    clients.same(command_bytes("qmp_capabilities"))
    return clients


def test_before_negotiation(clients: Clients) -> None:
    for number in IDS:
        clients.same(command_bytes("query-status", id=number))
    clients.same(command_bytes("qmp_capabilities", id=[{}]))


@pytest.mark.parametrize("query", QUERIES)
def test_reply(negotiated: Clients, query: str) -> None:
    """Or the error of a version that has no such command."""
    negotiated.same(command_bytes(query))


def test_ids_and_errors(negotiated: Clients) -> None:
    for number in IDS:
        negotiated.same(command_bytes("query-name", id=number))
        negotiated.same(command_bytes("no-such-command", id=number))
    for data, errors in MALFORMED.items():
        negotiated.same(data, errors)


def test_text_of_hmp(negotiated: Clients) -> None:
    for line in ("info qtree", "info block", "info mtree -f", "help", "", "no such"):
        negotiated.same(command_bytes("human-monitor-command", {"command-line": line}))


def test_events(negotiated: Clients) -> None:
    """An event goes to both monitors, with one time."""
    for command, event in (("stop", "STOP"), ("cont", "RESUME"), ("system_reset", "RESET")):
        negotiated.native.send(command_bytes(command))
        (native,) = negotiated.native.read_until_event(event)[-1:]
        assert negotiated.ours.read_until_event(event)[-1:] == [native]


@pytest.mark.needs_snapshot_jobs
def test_rewritten_commands(proxy: ProxyProcess, negotiated: Clients) -> None:
    """Their answers, and the events before them, are spelled by the proxy or by QEMU."""
    for line in ("savevm t", "savevm t", "loadvm t", "delvm t"):
        assert negotiated.ours.hmp(line) == ""
    negotiated.ours.execute("__hmpshim_query-proxy", id=[[]])
    messages = negotiated.ours.transcript
    assert messages == [f"{encode_pretty(json.loads(message))}\r\n".encode() for message in messages]
    assert "snapshot-save" in run_proxy("plan", "--upstream", f"unix:{proxy.path}", "savevm", "t").stdout
