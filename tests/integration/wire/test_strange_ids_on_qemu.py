"""Ids that Python's json does not take for granted come back from a real QEMU, through the proxy, as without it."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2
from tests.support.raw_client import RawClient

# QEMU nests 1024 deep; the command itself is one level.
DEEP: Final = "[" * 1023 + "]" * 1023
IDS: Final = ["1e400", '["hmpshim-", -1e400]', DEEP, f'["hmpshim-", {DEEP[1:-1]}]', '{"a": ' * 1023 + "1" + "}" * 1023]
LINES: Final = ["info name", "savevm t", "info snapshots", "loadvm none", "delvm t"]
COMMANDS: Final = [
    *(f'"execute": "human-monitor-command", "arguments": {{"command-line": "{line}"}}' for line in LINES),
    *('"execute": "query-jobs"', '"execute": "getfd"', '"exec-oob": "query-yank"', '"exec-oob": "nope"', '"execute": "nope"'),
]


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyProcess]:
    vm = QEMUVM(["-bios", "rom", "-S", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"], observed=True)
    vm.path("rom").write_bytes(IDLE_ROM)
    make_qcow2(vm.path("d0.qcow2"))
    with vm, ProxyProcess(vm.folder, vm.qmp_path) as started:
        yield started


def said(client: RawClient, command: str, own: str) -> bytes:
    client.send(f'{{{command}, "id": {own}}}\n'.encode())
    message = client.receive_message()
    # The observer sees the jobs.
    while message.startswith(b'{"timestamp"'):
        message = client.receive_message()
    return message


@pytest.mark.parametrize("oob", [False, True])
@pytest.mark.parametrize("own", IDS, ids=lambda own: own[:20])
def test_reply_is_qemus(proxy: ProxyProcess, own: str, oob: bool) -> None:
    folder = proxy.audit_path.parent
    with RawClient.connect(folder / "obs.sock") as direct, proxy.connect() as through, proxy.negotiated() as other:
        direct.negotiate(oob=oob)
        through.negotiate(oob=oob)
        for command in COMMANDS:
            expected = said(direct, command, own)
            assert said(through, command, own) == expected, command
            # Nobody else's replies are mixed up.
            assert other.execute("query-name", None, "other") == {"return": {}, "id": "other"}
    assert "Traceback" not in proxy.stderr
    assert proxy.audit_path.read_bytes().count(b"\n") % len(LINES) == 0


def test_reply_before_the_negotiation_is_qemus(proxy: ProxyProcess) -> None:
    folder = proxy.audit_path.parent
    with RawClient.connect(folder / "obs.sock") as direct, proxy.connect() as through:
        direct.receive()
        through.receive()
        for own in IDS:
            for command in ('"execute": "query-name"', '"exec-oob": "x"', '"execute": 5'):
                assert said(through, command, own) == said(direct, command, own)
