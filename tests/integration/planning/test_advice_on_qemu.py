"""What is advised about a tag is read from the screen and done, and the disks then have the content that was wanted."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine, pattern_of
from tests.integration.planning.advice_on_screen import Way, at, find_way, ways_of
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import make_qcow2, snapshots_of
from tests.integration.scripts.repl_process import repl
from tests.support.proxy_command import run_proxy
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs, pytest.mark.matrix]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
SCSI: Final = f"{BIOS} {disk('d0', 'node-name=n0')} -device virtio-scsi-pci,id=s"
BESIDE: Final = f"{BIOS} {disk('d0', 'node-name=n0')} {disk('d1', 'node-name=n1')}"
ABSENT: Final = "does not exist in one or more devices"


def runs(vm: Machine, *lines: str) -> str:
    """Type lines at the prompt; the last one must do what it says."""
    shown = at(vm, *lines)
    assert "done: " in shown, shown
    return shown


# -- a disk that lacks the tag --------------------------------------------------------------------------------------------


def plug_drive(vm: Machine) -> None:
    assert vm.observer.hmp("drive_add 0 if=none,id=d1,format=qcow2,file=d1.qcow2,cache=unsafe") == "OK\r\n"
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v1"})


def plug_node(vm: Machine) -> None:
    file = {"driver": "file", "filename": "d1.qcow2"}
    vm.observer.returned("blockdev-add", {"driver": "qcow2", "node-name": "d1", "file": file})
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v1", "share-rw": True})


def plug_without_id(vm: Machine) -> None:
    assert vm.observer.hmp("drive_add 0 if=none,id=d1,format=qcow2,file=d1.qcow2,cache=unsafe") == "OK\r\n"
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1"})


PLUGS: Final = {"drive": plug_drive, "node": plug_node, "no id": plug_without_id}


def save_then_plug(vm: Machine, plug: Callable[[Machine], None]) -> None:
    vm.write(0xAA, "d0")
    runs(vm, "savevm t")
    vm.write(0xBB, "d0")
    plug(vm)
    vm.write(0xCC, "d1")


def shown_of(vm: Machine, line: str, columns: int) -> str:
    """Return what a line shows. The fault is told, and loadvm says so, and leaves the VM as it is."""
    shown = at(vm, line, columns=columns)
    assert "! partial: missing on d1" in shown
    assert ABSENT in " ".join(at(vm, "loadvm t").split())
    assert vm.run_state == "running"
    return shown


@pytest.mark.parametrize(
    ("plug", "columns", "line"),
    [
        ("drive", 40, "info snapshots"),
        ("drive", 80, "plan loadvm t"),
        ("node", 40, "plan loadvm t"),
        ("node", 80, "info snapshots"),
        # A path is one word, and longer than a narrow line.
        ("no id", 80, "info snapshots"),
    ],
)
def test_disk_that_was_plugged_in_later_is_unplugged(plug: str, columns: int, line: str) -> None:
    with machine(SCSI, TWO) as vm:
        save_then_plug(vm, PLUGS[plug])
        way = find_way(shown_of(vm, line, columns), "device_del")
        assert "if it was plugged in after the snapshot" in way.effect
        runs(vm, *way.lines, "loadvm t")
        assert vm.run_state == "running"
        assert vm.patterns("d0") == [0xAA]
        assert pattern_of(vm.vm.path("d1.qcow2")) == 0xCC


@pytest.mark.parametrize("columns", [40, 80])
def test_disk_that_was_plugged_in_later_is_left_out_by_an_option(columns: int) -> None:
    with machine(SCSI, TWO) as vm:
        save_then_plug(vm, plug_node)
        way = find_way(shown_of(vm, "info snapshots", columns), "--exclude")
        assert way.where == "option"
        ended = repl(vm.vm.qmp_path, *way.words, "-c", "loadvm t")
        assert (ended.status, ended.out) == (0, b"")
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [0xAA, 0xCC]


def test_disk_that_was_plugged_in_later_is_left_out_by_a_configuration(tmp_path: Path) -> None:
    with machine(SCSI, TWO) as vm:
        save_then_plug(vm, plug_node)
        way = find_way(shown_of(vm, "plan loadvm t", 80), "--exclude")
        found = re.search(r"\(in a configuration: ([^)]*)\)", way.effect)
        assert found is not None
        config = tmp_path / "config.toml"
        config.write_text(f'[[vm]]\nupstream = "unix:{vm.vm.qmp_path}"\nlisten = "unix:{tmp_path}/l"\n{found[1]}\n')
        ended = repl("--config", str(config), "unix:" + vm.vm.qmp_path, "-c", "loadvm t")
        assert (ended.status, ended.out, ended.err) == (0, b"", "")
        assert vm.patterns("d0", "d1") == [0xAA, 0xCC]


@pytest.mark.parametrize("columns", [40, 80])
def test_tag_is_loaded_without_the_disk_that_lacks_it(columns: int) -> None:
    with machine(SCSI, TWO) as vm:
        save_then_plug(vm, plug_node)
        way = find_way(shown_of(vm, "info snapshots", columns), "qmp snapshot-load")
        at(vm, *way.lines)
        assert vm.observer.returned("query-jobs") == []
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [0xAA, 0xCC]


def test_disk_that_was_replaced_lacks_the_tag() -> None:
    """The VM was off meanwhile. What the new disk has stays."""
    with machine(BESIDE, TWO) as first:
        first.write(0xAA, "d0", "d1")
        runs(first, "savevm t")
        assert first.vm.quit() == 0
        make_qcow2(first.vm.path("d1.qcow2"))
        with machine(BESIDE, {}, folder=first.vm.folder) as vm:
            vm.write(0xBB, "d0", "d1")
            way = find_way(shown_of(vm, "info snapshots", 80), "qmp snapshot-load")
            at(vm, *way.lines)
            assert vm.run_state == "running"
            assert vm.patterns("d0", "d1") == [0xAA, 0xBB]


def test_read_only_disk_needs_no_advice() -> None:
    with machine(SCSI, TWO) as vm:
        vm.write(0xAA, "d0")
        runs(vm, "savevm t")
        vm.write(0xBB, "d0")
        assert vm.observer.hmp("drive_add 0 if=none,id=d1,format=qcow2,file=d1.qcow2,readonly=on") == "OK\r\n"
        vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v1"})
        assert ways_of(at(vm, "info snapshots")) == []
        runs(vm, "loadvm t")
        assert vm.patterns("d0") == [0xAA]


# -- a tag that is another's id -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80])
def test_own_id_brings_back_what_another_id_hides(columns: int) -> None:
    """Tags 2, 3 and 1 have the ids 1, 2 and 3. None of them can be loaded by its name, and each by its id."""
    with machine(BESIDE, TWO) as vm:
        for pattern, tag in enumerate("231", start=1):
            vm.write(pattern, "d0", "d1")
            runs(vm, f"savevm {tag}")
        for pattern, tag in enumerate("231", start=1):
            vm.write(0xEE, "d0", "d1")
            shown = at(vm, f"plan loadvm {tag}", columns=columns)
            at(vm, *find_way(shown, "qmp snapshot-load").lines)
            assert vm.patterns("d0", "d1") == [pattern, pattern]
            assert vm.run_state == "running"
        assert vm.tags("d0.qcow2") == ["2", "3", "1"]


@pytest.mark.parametrize("line", ["info snapshots", "plan loadvm 1"])
def test_tag_that_is_an_id_is_loaded_and_nothing_is_lost(line: str) -> None:
    """Although no tag is the wanted one's id, the other one stays, and so does the wanted one."""
    with machine(BESIDE, TWO) as vm:
        for pattern, tag in ((1, "one"), (2, "two"), (3, "1")):
            vm.write(pattern, "d0", "d1")
            runs(vm, f"savevm {tag}")
        vm.write(0xEE, "d0", "d1")
        assert "the id of the snapshot 'one'" in " ".join(at(vm, "loadvm 1").split())
        way = find_way(at(vm, line), "savevm")
        assert (way.lines[0], way.lines[-1]) == ("savevm 3", "delvm 3")
        at(vm, *way.lines)
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [3, 3]
        assert vm.tags("d0.qcow2") == ["one", "two", "1"]
        for tag, pattern in (("one", 1), ("two", 2)):
            runs(vm, f"loadvm {tag}")
            assert vm.patterns("d0", "d1") == [pattern, pattern]


def test_other_one_is_removed_where_nothing_else_helps_and_that_is_said() -> None:
    with machine(BESIDE, TWO) as vm:
        vm.write(1, "d0", "d1")
        runs(vm, "savevm one")
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": "d0", "name": "only here"})
        vm.write(2, "d0", "d1")
        runs(vm, "savevm 1")
        vm.write(0xEE, "d0", "d1")
        (way,) = ways_of(at(vm, "plan loadvm 1"))
        assert way.lines == ["delvm one"]
        assert "removes the other one, which is lost" in way.effect
        runs(vm, *way.lines, "loadvm 1")
        assert vm.patterns("d0", "d1") == [2, 2]


# -- snapshots that are not of one moment ---------------------------------------------------------------------------------


def test_disk_of_another_moment_is_left_as_it_is() -> None:
    with machine(BESIDE, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        runs(vm, "savevm t")
        vm.observer.returned("blockdev-snapshot-delete-internal-sync", {"device": "d1", "name": "t"})
        vm.write(0xBB, "d0", "d1")
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": "d1", "name": "t"})
        vm.write(0xCC, "d0", "d1")
        for line in ("info snapshots", "plan loadvm t"):
            shown = at(vm, line)
            assert "! mixed: the one on d1 is of another moment" in shown
        at(vm, *find_way(shown, "qmp snapshot-load").lines)
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [0xAA, 0xCC]
        assert (vm.tags("d0.qcow2"), vm.tags("d1.qcow2")) == (["t"], ["t"])


def in_a_shell(folder: Path, way: Way) -> None:
    assert way.where == "VM off"
    for line in way.lines:
        subprocess.run(line, shell=True, cwd=folder, check=True)


@pytest.mark.parametrize("columns", [40, 80])
def test_disks_alone_are_reverted_offline_and_the_present_is_kept(columns: int) -> None:
    with machine(BESIDE, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        for device in ("d0", "d1"):
            vm.observer.returned("blockdev-snapshot-internal-sync", {"device": device, "name": "t"})
        vm.write(0xBB, "d0", "d1")
        way = find_way(at(vm, "info snapshots", columns=columns), "qemu-img")
        assert vm.vm.quit() == 0
        in_a_shell(vm.vm.folder, way)
        images = [vm.vm.path(f"{device}.qcow2") for device in ("d0", "d1")]
        assert [pattern_of(image) for image in images] == [0xAA, 0xAA]
        for image in images:
            assert [name for name, _ in snapshots_of(image)] == ["t", "before"]
            subprocess.run(["qemu-img", "snapshot", "-a", "before", image], check=True)
        assert [pattern_of(image) for image in images] == [0xBB, 0xBB]


# -- images below an overlay ----------------------------------------------------------------------------------------------


def wait_for_job(vm: Machine, is_so: Callable[[list[dict[str, Any]]], bool]) -> None:
    wait_for(lambda: is_so(vm.observer.returned("query-block-jobs")))


def test_snapshots_below_an_overlay_come_back_with_what_was_written_since() -> None:
    with machine(f"{BIOS} {disk('d0', 'node-name=n0')}", TWO) as vm:
        vm.write(0xAA, "d0")
        runs(vm, "savevm t")
        arguments = {"device": "d0", "snapshot-file": "overlay.qcow2", "snapshot-node-name": "ov"}
        vm.observer.returned("blockdev-snapshot-sync", arguments)
        vm.write(0xBB, "d0")
        shown = at(vm, "info snapshots")
        assert "There is no snapshot." in shown
        assert "! hidden: the image n0 below d0 has 't'" in shown
        way = find_way(shown, "qmp block-commit")
        assert "Not if another image is based on it" in way.effect
        begin, look, complete = way.lines
        at(vm, begin)
        wait_for_job(vm, lambda jobs: all(job["ready"] for job in jobs))
        assert "repair" in at(vm, look)
        at(vm, complete)
        wait_for_job(vm, lambda jobs: not jobs)
        assert vm.patterns("d0") == [0xBB]
        assert ways_of(at(vm, "info snapshots")) == []
        runs(vm, "loadvm t")
        assert vm.patterns("d0") == [0xAA]


# -- at a proxy's socket, and without a prompt ----------------------------------------------------------------------------


def test_advice_of_a_proxys_plan_is_the_same() -> None:
    """At a prompt of any width, from a script, and by hmp-proxy plan."""
    with machine(SCSI, TWO) as vm:
        save_then_plug(vm, plug_node)
        own = ways_of(at(vm, "plan loadvm t"))
        assert len(own) == 3
        with ProxyProcess(vm.vm.folder, vm.vm.qmp_path) as proxy:
            for columns in (80, 250):
                assert ways_of(at(vm, "plan loadvm t", columns=columns, path=proxy.path)) == own
            assert ways_of(repl(proxy.path, "-c", "plan loadvm t").text) == own
            ended = run_proxy("plan", "--upstream", f"unix:{proxy.path}", "loadvm", "t")
            assert (ended.returncode, ways_of(ended.stdout)) == (0, own)
