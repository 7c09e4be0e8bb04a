"""Each listener of a proxy has its own terms: who may open its socket, and how its clients are told of failures."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from proxy.net.ends import End
from proxy.relaying.relay import Relay
from shim.client import Client
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer, talk


def test_each_listener_has_its_own_mode_and_style_of_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came: dict[str | None, bool] = {}
    add_client = Relay.add_client

    def note(relay: Relay, end: End, client: Client, *, errors_in_qmp: bool) -> None:
        came[client.listener] = errors_in_qmp
        add_client(relay, end, client, errors_in_qmp=errors_in_qmp)
        assert [session.errors_in_qmp for session in relay._streams][-1] is errors_in_qmp

    monkeypatch.setattr(Relay, "add_client", note)

    async def run() -> dict[str, int]:
        async with FakeQEMU(two_disks()) as qemu:
            own = f"{tmp_path}/a,b"
            options = ["--listen", f"unix:{own},mode=0666,errors=hmp", "--errors", "qmp"]
            async with RunningServer(f"unix:{qemu.path}", *options) as server:
                for path in (server.path, own):
                    await talk(path, lambda client: None)
                assert came[f"unix:{server.path}"]
                assert not came[f"unix:{own}"]
                return {os.path.basename(path): stat.S_IMODE(os.stat(path).st_mode) for path in (server.path, own)}

    assert asyncio.run(run()) == {"legacy.sock": 0o600, "a,b": 0o666}
