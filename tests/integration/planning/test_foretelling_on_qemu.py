"""What is foretold is what QEMU does, and where it would lose the old snapshot for it, the old snapshot stays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pytest

from shim.graph.blockgraph import read_graph
from shim.plans.foretelling import creation_error
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.support.proxy_command import run_proxy

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')}"


def plan_of(vm: Machine, line: str, *options: str) -> str:
    done = run_proxy("plan", "--upstream", f"unix:{vm.vm.qmp_path}", *options, line)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- disks that take no further snapshot ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shortage:
    """An image whose next snapshot fails, made with these options. tags: what it can hold before."""

    options: str
    tags: Sequence[str] = ()


SHORTAGES: Final[Mapping[str, Shortage]] = {
    "external data file": Shortage("data_file={folder}/x.raw"),
    "external raw data file": Shortage("data_file={folder}/x.raw,data_file_raw=on"),
    "refcount_bits=1": Shortage("refcount_bits=1"),
    "refcount_bits=2": Shortage("refcount_bits=2", ("a", "b")),
    "refcount_bits=4": Shortage("refcount_bits=4", tuple("abcdefghijklmn")),
}


def save_disk(vm: Machine, device: str, tag: str) -> None:
    vm.observer.returned("blockdev-snapshot-internal-sync", {"device": device, "name": tag})


def make(vm: Machine, shortage: Shortage) -> None:
    """The first disk has the tag, and the second one has content, and as many snapshots as it can hold."""
    vm.write(0xAA, "d0", "d1")
    save_disk(vm, "d0", "t")
    for tag in shortage.tags:
        save_disk(vm, "d1", tag)


@pytest.mark.parametrize("name", SHORTAGES)
def test_natively_the_old_snapshot_is_lost(name: str, qemu_version: QEMUVersion) -> None:
    """And the text is what is foretold."""
    shortage = SHORTAGES[name]
    with machine(DISKS, {"d0.qcow2": "", "d1.qcow2": shortage.options}) as vm:
        make(vm, shortage)
        edges, backends = vm.observer.returned("x-debug-query-block-graph"), vm.observer.returned("query-block")
        nodes = vm.observer.returned("query-named-block-nodes", {"flat": True})
        graph = read_graph(backends, nodes, edges, version=qemu_version)
        foretold = creation_error(graph, graph.hmp_set(), "t")
        assert foretold == "Could not create snapshot 't' on 'd1'"
        with vm.native() as client:
            assert client.hmp("savevm t") == f"Error: {foretold}\r\n"
        assert vm.tags("d0.qcow2") == []


@pytest.mark.parametrize("name", SHORTAGES)
def test_old_snapshot_stays(name: str) -> None:
    """The answer is HMP's, and foretold."""
    shortage = SHORTAGES[name]
    with machine(DISKS, {"d0.qcow2": "", "d1.qcow2": shortage.options}) as vm:
        make(vm, shortage)
        assert "The client would get: Error: Could not create snapshot 't' on 'd1'" in plan_of(vm, "savevm t")
        with vm.proxied() as (client, proxy):
            assert client.hmp("savevm t") == "Error: Could not create snapshot 't' on 'd1'\r\n"
            assert vm.tags("d0.qcow2") == ["t"]
            assert vm.run_state == "running"
            # What cannot be known is tried first, under an internal tag.
            is_known = name.startswith("external")
            assert ("not tried" if is_known else "the snapshot job failed") in proxy.records[-1]["reason"]
            # A new tag is QEMU's to refuse.
            assert client.hmp("savevm new") == "Error: Could not create snapshot 'new' on 'd1'\r\n"
            assert vm.tags("d0.qcow2") == ["t"]
        assert "The client would get: Error: Could not create snapshot 'new' on 'd1'" in plan_of(vm, "savevm new")


@pytest.mark.parametrize(
    ("options", "tags"), [("refcount_bits=2", "a"), ("refcount_bits=4", "abcdefghijklm"), ("compat=0.10", "ab")]
)
def test_what_takes_one_more_is_not_held_back(options: str, tags: str) -> None:
    with machine(DISKS, {"d0.qcow2": "", "d1.qcow2": options}) as vm:
        make(vm, Shortage(options, tuple(tags)))
        with vm.proxied() as (client, _):
            assert client.hmp("savevm t") == ""
            assert client.hmp("savevm t") == ""
        assert vm.tags("d1.qcow2") == [*tags, "t"]


# -- migration capabilities -----------------------------------------------------------------------------------------------


def switch_on(vm: Machine, capability: str) -> None:
    change = {"capability": capability, "state": True}
    assert vm.observer.returned("migrate-set-capabilities", {"capabilities": [change]}) == {}


# capability -> in which versions savevm fails with it, and what HMP's last line is.
DOOMED: Final[Mapping[str, tuple[Callable[[QEMUVersion], bool], str]]] = {
    "block": (lambda version: version < (9, 1), "Error: Block migration and snapshots are incompatible\r\n"),
    "mapped-ram": (lambda version: (9, 0) <= version < (11, 0), "Error: Error while writing VM state: Input/output error\r\n"),
    "multifd": (lambda version: version >= (10, 2), "Error: Snapshots are not compatible with multifd\r\n"),
}


def doomed_in(version: QEMUVersion) -> dict[str, str]:
    return {capability: text for capability, (fails, text) in DOOMED.items() if fails(version)}


def test_each_version_has_a_capability_that_dooms_a_savevm(qemu_version: QEMUVersion) -> None:
    """Natively it takes the old snapshot along, but for multifd, which is looked at first."""
    assert doomed_in(qemu_version)
    for capability, text in doomed_in(qemu_version).items():
        with machine(DISKS, TWO) as vm, vm.native() as client:
            assert client.hmp("savevm t") == ""
            switch_on(vm, capability)
            assert client.hmp("savevm t").endswith(text)
            assert vm.tags("d0.qcow2") == (["t"] if capability == "multifd" else [])


def test_capability_does_not_cost_the_old_snapshot(qemu_version: QEMUVersion) -> None:
    for capability, text in doomed_in(qemu_version).items():
        with machine(DISKS, TWO) as vm:
            with vm.proxied() as (client, _):
                vm.write(0xAA, "d0", "d1")
                assert client.hmp("savevm t") == ""
                # Also where only one disk has the tag, and snapshot-save would not look at what it replaces.
                vm.observer.returned("blockdev-snapshot-delete-internal-sync", {"device": "d1", "name": "t"})
                switch_on(vm, capability)
                assert client.hmp("savevm t") == text
                assert vm.tags("d0.qcow2") == ["t"]
            assert text.rstrip() in plan_of(vm, "savevm t")
            assert text.rstrip() in plan_of(vm, "savevm new")


# -- what blocks a migration ----------------------------------------------------------------------------------------------

IVSHMEM: Final = "-object memory-backend-ram,size=1M,id=m -device ivshmem-plain,memdev=m,master=off"
BLOCKERS: Final = {
    "vmdk": f"{BIOS} {disk('d0')} -drive if=none,id=v,format=vmdk,file=v.vmdk,read-only=on",
    "ivshmem": f"{BIOS} {disk('d0')} {IVSHMEM}",
    "two": f"{BIOS} {disk('d0')} -drive if=none,id=v,format=vmdk,file=v.vmdk,read-only=on {IVSHMEM}",
    "two, the other order": f"{BIOS} {IVSHMEM} {disk('d0')} -drive if=none,id=v,format=vmdk,file=v.vmdk,read-only=on",
}


@pytest.mark.parametrize("name", BLOCKERS)
def test_plan_has_qemus_words_for_a_blocker(name: str) -> None:
    with machine(BLOCKERS[name], {"d0.qcow2": "", "v.vmdk": ""}) as vm:
        with vm.native() as client:
            said = client.hmp("savevm t")
        assert said.startswith("Error: ")
        assert f"The client would get: {said.rstrip()}" in plan_of(vm, "savevm t")
