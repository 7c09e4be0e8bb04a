"""A real QEMU that appears and vanishes under a `discover` pattern, also where its socket is taken over."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.net.sockets import is_answered
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2
from tests.integration.waiting import until
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

MODES = {
    "upstream": ('upstream = "unix:{path}"', 'listen = "unix:F/{1}.legacy"'),
    "take_over": ('take_over = "{path}"',),
}


@pytest.fixture
def vm() -> Iterator[QEMUVM]:
    machine = QEMUVM(["-bios", "rom", "-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"], observed=True)
    machine.path("rom").write_bytes(IDLE_ROM)
    make_qcow2(machine.path("d0.qcow2"))
    yield machine
    machine.close()


def status(control: Path) -> dict[str, Any]:
    """Ask the proxy as an operator would."""
    command = [sys.executable, "-m", "proxy", "status", "--control", str(control), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    told: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return told


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", [QEMUVM.quit, QEMUVM.kill], ids=["quit", "killed"])
def test_qemu_is_found_and_let_go(vm: QEMUVM, tmp_path: Path, mode: str, end: Callable[[QEMUVM], object]) -> None:
    socket_path = vm.path("qmp.sock")
    folder = socket_path.parent
    at = socket_path if mode == "take_over" else folder / "mp.legacy"
    lines = [line.replace("F/", f"{folder}/") for line in MODES[mode]]
    config, control, log = tmp_path / "c.toml", folder / "control", tmp_path / "log"
    config.write_text("\n".join(["[[vm]]", f'discover = "{folder}/q*.sock"', 'name = "{1}"', *lines]))
    command = [sys.executable, "-W", "error", "-m", "proxy", "--config", str(config), "--control", str(control)]
    with log.open("wb") as stderr, subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=stderr) as proxy:
        try:
            until(lambda: status(control).get("discover", [{}])[0].get("sockets") == 0)
            for number in range(2):
                vm.start()
                until(lambda: log.read_text().count("listening on") == number + 1)  # noqa: B023
                with negotiated(RawClient.connect(at)) as client:
                    assert client.hmp(f"savevm t{number}") == ""
                (shown,) = status(control)["vms"]
                assert (shown["name"], shown["state"]) == ("mp", "served")
                end(vm)
                if mode == "upstream" and end is QEMUVM.kill:
                    # It has left its socket, where nobody listens: that is a VM that is waited for.
                    until(lambda: [one["state"] for one in status(control)["vms"]] == ["waited for"])
                    assert not is_answered(str(at))
                    os.unlink(socket_path)
                until(lambda: status(control)["vms"] == [])
                assert {path.name for path in folder.glob("q*.sock*")} == set()
        finally:
            proxy.send_signal(signal.SIGTERM)
        assert proxy.wait(DEADLINE_S) == 0
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("not served any more, its socket has gone") == 2
