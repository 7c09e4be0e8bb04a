"""The operator's limits on a real VM: what is deleted for a new snapshot, what is left alone, and whether the RAM fits."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from shim.plans.saving import HMP_REPLACES
from tests.integration.command_lines import BIOS, FLASH_CODE, disk
from tests.integration.faults.relay import Kind, Message, Relay
from tests.integration.faults.stage import hmp_bytes
from tests.integration.machines import Machine, machine, make_folder
from tests.integration.proxy_process import ProxyProcess
from tests.support.raw_client import RawClient

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0', 'node-name=n0')} {disk('d1', 'node-name=n1')}"
VARSTORE: Final = f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {disk('d0', 'node-name=n0')}"
DELETES: Final = ("--max-snapshots", "3", "--when-full", "delete-oldest", "--delete-prefix", "auto-")
KEPT: Final = "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it"
FULL: Final = (
    "the VM has 2 snapshots, and the setting max_snapshots allows 2; delete one (delvm), or save over one that is there"
)
PROTECTED: Final = "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"


def saved(client: RawClient, *tags: str) -> None:
    for tag in tags:
        assert client.hmp(f"savevm {tag}") == ""


def test_oldest_goes_and_the_newest_come_back() -> None:
    with machine(DISKS, TWO) as vm, vm.proxied(*DELETES, "--protect", "auto-1") as (client, proxy):
        saved(client, "auto-1", "mine")
        for number in (2, 3, 4):
            vm.write(0xA0 + number, "d0", "d1")
            saved(client, f"auto-{number}")
            assert [row["status"] for row in client.returned("query-jobs")] == []
        assert vm.tags("d0.qcow2") == vm.tags("d1.qcow2") == ["auto-1", "mine", "auto-4"]
        (last,) = [record for record in proxy.records if record["command_line"] == "savevm auto-4"]
        assert last["reason"] == "done by snapshot jobs; snapshot 'auto-3' was deleted for it (max_snapshots)"
        jobs = [(sent["execute"], sent["arguments"]["tag"]) for sent in last["qmp"] if sent["execute"].startswith("snapshot-")]
        assert jobs == [("snapshot-save", "auto-4"), ("snapshot-delete", "auto-3")]
        vm.write(0xFF, "d0", "d1")
        assert client.hmp("loadvm auto-4") == ""
        assert vm.patterns("d0", "d1") == [0xA4, 0xA4]


def test_full_vm_is_left_alone_and_what_exists_is_replaced() -> None:
    with machine(DISKS, TWO) as vm, vm.proxied("--max-snapshots", "2") as (client, proxy):
        saved(client, "a", "b", "a")
        assert (proxy.records[-1]["action"], proxy.records[-1]["reason"]) == ("delegated", HMP_REPLACES)
        for line in ("savevm c", "savevm"):
            assert client.hmp(line) == f"Error: {FULL}\r\n"
            assert (proxy.records[-1]["action"], proxy.records[-1]["stopped_ms"]) == ("refused", 0)
        assert vm.tags("d0.qcow2") == ["b", "a"]
        assert client.hmp("delvm b") == ""
        saved(client, "c")


def test_one_more_replaced_by_way_of_an_internal_tag_is_none() -> None:
    """The internal snapshot is one more for a moment, and does not count."""
    options = ("--max-snapshots", "1")
    with machine(VARSTORE, {"d0.qcow2": "", "vars.raw": ""}) as vm, vm.proxied(*options) as (client, _):
        saved(client, "t", "t", "t")
        assert vm.tags("d0.qcow2") == ["t"]


@pytest.mark.parametrize(("args", "images"), [(DISKS, TWO), (VARSTORE, {"d0.qcow2": "", "vars.raw": ""})], ids=["HMP", "jobs"])
def test_protected_snapshot_stays_whatever_is_tried(args: str, images: dict[str, str]) -> None:
    """Its id is 1, and 2 that of another one: QEMU deletes by names alone."""
    with machine(args, images) as vm, vm.proxied("--protect", "golden*", "--protect-load", "golden") as (client, _):
        saved(client, "golden", "golden-too", "1", "2")
        assert client.hmp("savevm golden") == f"Error: {PROTECTED}\r\n"
        assert client.hmp("delvm golden") == client.hmp('delvm "golden"') == f"Error: {KEPT}\r\n"
        assert client.hmp("delvm 1") == client.hmp("delvm 1") == client.hmp("delvm 2") == ""
        assert vm.tags("d0.qcow2") == ["golden", "golden-too"]
        for line in ("loadvm golden", "loadvm 1"):
            assert client.hmp(line).startswith("Error: snapshot 'golden' may not be loaded")
        assert vm.run_state == "running"
        job = {"job-id": "j", "tag": "golden", "devices": ["n0"]}
        by_job = client.execute("snapshot-delete", job)
        at_once = client.execute("blockdev-snapshot-delete-internal-sync", {"device": "d0", "name": "golden"})
        by_id = client.execute("blockdev-snapshot-delete-internal-sync", {"device": "d0", "id": "1"})
        assert by_job["error"]["desc"] == at_once["error"]["desc"] == KEPT
        assert "give its name too" in by_id["error"]["desc"]
        assert vm.tags("d0.qcow2") == ["golden", "golden-too"]
        assert client.hmp("loadvm golden-too") == ""


def is_deletion(message: Message) -> bool:
    return message.kind is Kind.COMMAND and message.name == "snapshot-delete"


def test_proxy_that_is_ended_between_the_save_and_the_deletion_goes_on_to_the_end() -> None:
    with machine(DISKS, TWO) as vm, Relay(vm.vm.folder, vm.vm.qmp_path) as relay:
        with ProxyProcess(vm.vm.folder, relay.path, DELETES) as proxy, proxy.negotiated() as client:
            saved(client, "auto-1", "auto-2", "auto-3")
            gate = relay.gate(is_deletion)
            client.send(hmp_bytes("savevm auto-4"))
            gate.wait()
            assert proxy.process is not None
            proxy.process.terminate()
            gate.open()
            assert proxy.wait_gone() == 0
            assert proxy.records[-1]["reason"].endswith("snapshot 'auto-1' was deleted for it (max_snapshots)")
        assert vm.tags("d0.qcow2") == vm.tags("d1.qcow2") == ["auto-2", "auto-3", "auto-4"]


def test_proxy_killed_between_the_save_and_the_deletion_loses_nothing() -> None:
    """The next start deletes nothing; the next savevm that adds one deletes two."""
    with machine(DISKS, TWO) as vm, Relay(vm.vm.folder, vm.vm.qmp_path) as relay:
        with ProxyProcess(vm.vm.folder, relay.path, DELETES) as proxy, proxy.negotiated() as client:
            saved(client, "auto-1", "auto-2", "auto-3")
            gate = relay.gate(is_deletion)
            client.send(hmp_bytes("savevm auto-4"))
            gate.wait()
            proxy.kill()
            gate.open()
        there = ["auto-1", "auto-2", "auto-3", "auto-4"]
        with ProxyProcess(vm.vm.folder, relay.path, DELETES) as proxy, proxy.negotiated() as client:
            assert "auto-4" in client.hmp("info snapshots")
            assert vm.tags("d0.qcow2") == vm.tags("d1.qcow2") == there
            assert vm.observer.returned("query-jobs") == []
            saved(client, "auto-5")
            assert vm.tags("d0.qcow2") == vm.tags("d1.qcow2") == ["auto-3", "auto-4", "auto-5"]
            assert client.hmp("loadvm auto-4") == ""


@contextmanager
def small_file_system(size_mib: int) -> Iterator[Path]:
    """Mount a file system in memory, with this much room."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def machine_on(folder: Path, memory_mib: int) -> Iterator[Machine]:
    """Start a VM whose disk is known by its whole path."""
    make_folder(folder, {"d0.qcow2": ""})
    disk = f"-drive if=virtio,id=d0,format=qcow2,cache=unsafe,file={folder}/d0.qcow2"
    with machine(f"{BIOS} {disk}", {}, folder=folder, memory=str(memory_mib)) as vm:
        yield vm


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_ram_that_may_not_fit_is_not_saved_and_the_vm_runs_on() -> None:
    with small_file_system(24) as folder, machine_on(folder, 32) as vm:
        with vm.proxied("--check-space") as (client, proxy):
            refused = client.hmp("savevm t")
            assert refused.startswith(
                f"Error: not enough room for the VM's RAM: it may take 32 MiB, and the file system of '{folder}/d0.qcow2' has "
            )
            record = proxy.records[-1]
            assert (record["action"], record["events"], record["reply"]["return"]) == ("refused", [], refused)
            assert vm.run_state == "running"
            assert vm.tags("d0.qcow2") == []
        with vm.proxied() as (client, _):
            saved(client, "t")  # of 32 MiB that are zero almost everywhere


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_ram_that_fits_is_saved_and_saved_over() -> None:
    with small_file_system(40) as folder, machine_on(folder, 32) as vm, vm.proxied("--check-space") as (client, proxy):
        saved(client, "t", "t", "u")
        assert [record["action"] for record in proxy.records] == ["rewritten", "delegated", "rewritten"]
        assert proxy.records[-1]["reason"] == "done by snapshot jobs"


def test_image_that_the_proxy_cannot_find_is_saved_and_that_is_told() -> None:
    """QEMU was given a relative path."""
    with machine(DISKS, TWO) as vm, vm.proxied("--check-space") as (client, proxy):
        saved(client, "t")
        remark = "the free space was not checked: the path of the image of 'd0' means nothing outside QEMU: 'd0.qcow2'"
        assert proxy.records[-1]["reason"] == f"done by snapshot jobs; {remark}"
        plan = client.returned("__hmpshim_plan", {"command-line": "savevm u"})
        assert plan["plan"]["remark"] == remark
        assert f"T{remark[1:]}." in plan["text"]


def test_plan_tells_what_would_go() -> None:
    with machine(DISKS, TWO) as vm, vm.proxied(*DELETES) as (client, _):
        saved(client, "auto-1", "auto-2", "auto-3")
        plan = client.returned("__hmpshim_plan", {"command-line": "savevm auto-4"})
        assert plan["plan"]["deletes"] == ["auto-1"]
        assert "Once it is saved, the oldest go, because the setting max_snapshots is reached: 'auto-1'." in plan["text"]
        assert vm.tags("d0.qcow2") == ["auto-1", "auto-2", "auto-3"]
