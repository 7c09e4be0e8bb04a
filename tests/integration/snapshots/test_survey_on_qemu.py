"""What the survey may go on believing, and what ends that: hot-plug on a real QEMU, seen by what the proxy asks next.

A stick takes another's place under the same id, on the same node: the answer to x-debug-query-block-graph is the same, and yet
one is removable and the other is not.
"""

from typing import Any, Final

import pytest

from tests.integration.command_lines import BIOS, blockdev, disk, virtio
from tests.integration.machines import Machine, machine
from tests.integration.proxy_process import ProxyProcess
from tests.support.raw_client import RawClient

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}


def asked(proxy: ProxyProcess) -> list[str]:
    """Return what was asked for the command before, other than its jobs' state."""
    names = [sent["execute"] for sent in proxy.records[-1]["qmp"]]
    return [name for name in names if name.startswith(("query-b", "query-n", "x-"))]


def dear(client: RawClient, proxy: ProxyProcess, line: str = "delvm none") -> bool:
    """Tell whether it asked for the backends."""
    assert client.hmp(line) == ""
    assert "query-named-block-nodes" in asked(proxy)
    return "query-block" in asked(proxy)


def plug(vm: Machine, **options: Any) -> None:
    vm.observer.returned("device_add", {"driver": "usb-storage", "drive": "stick", "id": "u", **options})


def unplug(vm: Machine) -> None:
    vm.observer.returned("device_del", {"id": "u"})
    vm.observer.read_until_event("DEVICE_DELETED")


def test_wiring_is_asked_for_once() -> None:
    with machine(f"{BIOS} {disk('d0')} {disk('d1')}", TWO) as vm, vm.proxied() as (client, proxy):
        # The first may come before the look for what an earlier connection left, which asks for it, too.
        assert [dear(client, proxy) for _ in range(3)][1:] == [False, False]
        for line in ("savevm t", "savevm t", "loadvm t", "delvm t"):
            assert not dear(client, proxy, line)
        # A list that is HMP's own needs no look at the snapshots.
        client.hmp("info snapshots")
        assert asked(proxy) == ["x-debug-query-block-graph"]


def test_stick_of_another_kind_under_the_same_id_is_noticed() -> None:
    """Else the VM state would go to a stick that is removable, because the one before was not."""
    stick = "-blockdev driver=qcow2,node-name=stick,file.driver=file,file.filename=d1.qcow2"
    devices = f"-device qemu-xhci -device usb-storage,drive=stick,id=u {virtio('d0')}"
    with machine(f"{BIOS} {blockdev('d0')} {stick} {devices}", TWO) as vm, vm.proxied() as (client, proxy):
        assert client.hmp("savevm a") == ""
        assert proxy.records[-1]["vmstate"]["node"] == "stick"
        unplug(vm)
        plug(vm, removable=True)
        assert client.hmp("savevm b") == ""
        assert proxy.records[-1]["vmstate"]["node"] == "d0"
        assert "query-block" in asked(proxy)


def test_drive_that_waits_for_its_device_is_asked_about_every_time() -> None:
    """With share-rw=on its device need not show in the graph."""
    drive = "-drive if=none,id=d1,format=qcow2,file=d1.qcow2,cache=unsafe"
    args = f"{BIOS} {disk('d0')} {drive} -device virtio-scsi-pci"
    with machine(args, TWO) as vm, vm.proxied("--exclude", "kind:unattached") as (client, proxy):
        assert [dear(client, proxy) for _ in range(3)] == [True, True, True]
        assert client.hmp("savevm a") == ""
        vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v", "share-rw": True})
        assert client.hmp("savevm b") == ""
        assert vm.tags("d1.qcow2") == ["b"]
        assert [dear(client, proxy) for _ in range(2)] == [False, False]


def test_media_and_nodes_that_change_are_seen() -> None:
    """What is kept knows nothing of a node's own facts: read-only, tags, or which medium is in."""
    args = f"{BIOS} {disk('d0')} -device virtio-scsi-pci -drive if=none,id=cd -device scsi-cd,drive=cd,id=c {blockdev('d1')}"
    with machine(args, TWO) as vm, vm.proxied() as (client, proxy):
        assert client.hmp("savevm a") == ""
        vm.observer.returned("blockdev-open-tray", {"id": "c"})
        vm.observer.returned("blockdev-insert-medium", {"id": "c", "node-name": "d1"})
        assert client.hmp("savevm b") == ""
        assert "query-block" in asked(proxy)
        vm.observer.returned("blockdev-remove-medium", {"id": "c"})
        vm.observer.returned("blockdev-del", {"node-name": "d1"})
        file = {"driver": "file", "filename": "d1.qcow2"}
        vm.observer.returned("blockdev-add", {"driver": "qcow2", "node-name": "d1", "read-only": True, "file": file})
        assert client.hmp("savevm c") == ""
        assert "d1" not in [node["node"] for node in proxy.records[-1]["nodes"] if node["included"]]
