"""An operator looks inside a proxy in front of a real QEMU, pauses it, and reads its metrics."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import machine
from tests.support.proxy.asked_sockets import short_folder
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import command_bytes
from tests.support.waiting import wait_for

DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')}"
LOAD: Final = command_bytes("human-monitor-command", {"command-line": "loadvm t"})


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def asked(folder: Path, command: str, *words: str) -> str:
    """Return what a subcommand prints."""
    name = "control" if command in ("status", "clients", "metrics") else "admin"
    done = run_proxy(command, f"--{name}", str(folder / name), *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_operator_looks_pauses_and_counts(folder: Path) -> None:
    options = ("--name", "vm1", "--control", str(folder / "control"), "--admin", str(folder / "admin"))
    with machine(DISKS, {"d0.qcow2": "", "d1.qcow2": ""}) as vm, vm.proxied(*options) as (client, proxy):
        assert client.hmp("savevm t") == ""
        paused = asked(folder, "pause", "vm1", "--for", "1000")
        assert paused == "snapshot commands of 'vm1' are paused, and none runs\n"
        client.send(LOAD)
        wait_for(lambda: "the end of the pause" in asked(folder, "clients", "vm1"))
        with proxy.negotiated() as other:
            assert "t" in other.hmp("info snapshots")
            assert other.returned("query-status", {})["status"] == "running"
            assert getpass.getuser() in asked(folder, "clients", "vm1")
        assert "served, paused " in asked(folder, "status")
        assert asked(folder, "resume", "vm1") == "snapshot commands of 'vm1' go on\n"
        assert json.loads(client.read_until_reply()[-1])["return"] == ""
        text = asked(folder, "metrics")
        stopped_ms = {record["hmp_command"]: record["stopped_ms"] for record in proxy.records}
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    for command in ("savevm", "loadvm"):
        found = {sample.name: sample.value for sample in samples if sample.labels.get("command") == command}
        assert found["hmp_proxy_vm_stopped_seconds_count"] == 1
        assert found["hmp_proxy_vm_stopped_seconds_sum"] == pytest.approx(stopped_ms[command] / 1000, abs=0.001)
        assert stopped_ms[command] > 0
