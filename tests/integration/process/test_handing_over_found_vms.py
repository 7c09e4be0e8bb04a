"""`hmp-proxy --replace` where VMs are found by their sockets: the new process finds them, too, and is handed them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from demo.vm import is_listening
from tests.integration.process.fake_qemus import fake_qemus
from tests.integration.proxy_process import ProxyProcess
from tests.integration.waiting import until
from tests.support.raw_client import negotiated

NAMES: Final = ("a", "b", "c")
REPLACEMENTS: Final = 3


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="h", dir="/tmp"))
    for name in NAMES:
        (folder / "vms" / name).mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("what", "socket"),
    [('upstream = "unix:{path}"\nlisten = "unix:VMS/{1}/legacy.sock"', "legacy.sock"), ('take_over = "{path}"', "qmp.sock")],
    ids=["upstream", "take_over"],
)
def test_found_vms_are_handed_over(folder: Path, what: str, socket: str) -> None:
    vms, meeting, config = folder / "vms", folder / "meet", folder / "fleet.toml"
    # The VM beside those that are found has the socket at which the process is known to listen.
    table = f'[[vm]]\ndiscover = "{vms}/*/qmp.sock"\nname = "{{1}}"\n{what.replace("VMS", str(vms))}\n'
    other = f'[[vm]]\nname = "other"\nupstream = "unix:{folder}/other"\nlisten = "unix:{folder}/legacy.sock"\n'
    config.write_text(table + other)
    with ExitStack() as stack:
        stack.enter_context(fake_qemus([*(vms / name / "qmp.sock" for name in NAMES), folder / "other"]))
        proxy = stack.enter_context(ProxyProcess(folder, None, ["--config", str(config), "--replaceable", str(meeting)]))
        until(lambda: "VMs served: 4;" in proxy.stderr)
        clients = [stack.enter_context(negotiated(proxy.connect(f"{vms}/{name}/{socket}"))) for name in NAMES]
        before = {name: os.stat(vms / name / socket).st_ino for name in NAMES}
        for number in range(REPLACEMENTS):
            until(lambda: is_listening(meeting))
            options = ["--config", str(config), "--replace", str(meeting)]
            new = stack.enter_context(ProxyProcess(folder, None, options))
            assert [client.hmp(f"savevm t{number}") for client in clients] == ["", "", ""]
            assert proxy.wait_gone() == 0, proxy.stderr
            assert [client.hmp(f"loadvm t{number}") for client in clients] == ["", "", ""]
            proxy = new
        assert {name: os.stat(vms / name / socket).st_ino for name in NAMES} == before
