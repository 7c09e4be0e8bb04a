"""What kills QEMU when it is asked natively, and how the proxy keeps it alive.

Each crash is first brought about, so that a QEMU which no longer has it is noticed. Seen on QEMU 5.2.0, 7.2.22, 8.2.2, 10.0.13
and 11.1.3; which of them dies of what is told by each case's `kills`. 8.2 hangs for good instead where a job runs.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from shim.graph import known_crashes
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, blockdev, disk, virtio
from tests.integration.machines import Machine, machine, pattern_of, run_state_of, wait_for
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.integration.twins import Boot, Case, Step, Until, started
from tests.support.raw_client import DeadlineError, RawClient

pytestmark = [pytest.mark.versions, pytest.mark.matrix]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
THREE: Final = {**TWO, "d2.qcow2": ""}
# SIGABRT and SIGSEGV.
CRASHED: Final = (-6, -11)

ENCRYPTED: Final = (
    "-object secret,id=s,data=123456 "
    "-drive if=none,id=e,format=qcow2,file={encrypted},encrypt.key-secret=s,cache=unsafe -device virtio-blk-pci,drive=e"
)
GROUP: Final = "-object throttle-group,id=g,x-iops-total=100000"


def throttle(node: str, below: str) -> str:
    return f"-blockdev driver=throttle,node-name={node},throttle-group=g,file={below}"


def filtered(driver: str, node: str, below: str) -> str:
    return f"-blockdev driver={driver},node-name={node},file={below}"


def always(version: QEMUVersion) -> bool:
    return True


def until_10(version: QEMUVersion) -> bool:
    return version < (10, 0)


def from_10(version: QEMUVersion) -> bool:
    return version >= (10, 0)


def until_7_2(version: QEMUVersion) -> bool:
    return version < (7, 2)


def until_10_2(version: QEMUVersion) -> bool:
    return version < (10, 2)


def from_10_1(version: QEMUVersion) -> bool:
    return version >= (10, 1)


def with_compression(version: QEMUVersion) -> bool:
    return (8, 0) <= version < (9, 1)


@dataclass(frozen=True, slots=True)
class Crash:
    """A machine, the line that kills QEMU, and which versions it kills.

    native: what the others answer. proxied: what the proxy answers where the line would kill: "" where it finds a way.
    is_guarded_from: the first version that the proxy protects; older ones get the client's own command, as all their
    commands, and only their run state is looked at before. run_state: what the VM is in when it is asked.
    """

    case: Case
    line: str
    kills: Callable[[QEMUVersion], bool]
    native: str
    proxied: str
    is_guarded_from: tuple[int, int] = (6, 0)
    run_state: str = "running"

    def is_guarded(self, version: QEMUVersion) -> bool:
        return self.kills(version) and version >= self.is_guarded_from


def loading(name: str, args: str) -> Case:
    """Return a case with a snapshot to load on a machine with three images."""
    return Case(name, args, (), THREE, setup=["savevm t"])


def with_job(name: str, *steps: Step | Until, args: str = f"{disk('d0')} {blockdev('d1')}") -> Case:
    """Return a case whose snapshot is made beside the job: a mirror's target becomes one of the disks."""
    return Case(name, args, (), THREE, setup=[*steps, "savevm t"])


def block_job(kind: str, **arguments: str | int) -> Step:
    return kind, {"job-id": "j", "device": "d0", **arguments}


OVERLAY: Final[Step] = ("blockdev-snapshot-sync", {"device": "d0", "snapshot-file": "over.qcow2", "format": "qcow2"})
READY: Final = Until("BLOCK_JOB_READY")
DIRTY: Final[Step] = 'qemu-io d0 "write -q -P 0xaa 0 4M"'
MIGRATED: Final = Case("", disk("d0"), (), TWO, setup=["savevm t", ("migrate", {"uri": "exec:cat >/dev/null"})])
INCOMING: Final = Case("", f"{disk('d0')} -incoming defer", (), TWO, before=Boot(["savevm t"], disk("d0")))

BITMAPS: Final = r"Error: Could not load snapshot 't' on '.*': Device has active dirty bitmaps\r\n"
NOT_OURS: Final = r"Error: Device 'd0' is writable but does not support snapshots\r\n"
UNDER_A_JOB: Final = (
    r"Error: QEMU .* would (crash|hang for good): a mirror or commit job runs on '.*'\. Finish or cancel it .*\r\n"
)
IN_MIGRATION: Final = r"Error: QEMU .* would crash: the VM is in state (in|post)migrate, .*\r\n"
ENCRYPTED_VMSTATE: Final = r"Error: QEMU .* would crash: it cannot store the VM state on 'e', which is encrypted\. .*\r\n"

MULTIFD: Final = r"Error: QEMU .* would crash: the migration capability multifd is on\. Turn it off .*\r\n"
COMPRESS: Final = r"Error: QEMU .* would crash: the migration capability compress is on\. Turn it off .*\r\n"
THROUGH_BLKREPLAY: Final = r"Error: QEMU .* would hang for good: .* on 'top', through the filter blkreplay\..*\r\n"
IN_REPLAY: Final = r"Error: QEMU .* would crash: it cannot delete a snapshot while it records or replays\..*\r\n"
REFUSES_MULTIFD: Final = r"Error: Snapshots are not compatible with multifd\r\n"

THROTTLED: Final = {
    "throttle": f"{throttle('top', 'd0')}",
    "throttle-twice": f"{throttle('low', 'd0')} {throttle('top', 'low')}",
    "throttle-on-copy-on-read": f"{filtered('copy-on-read', 'low', 'd0')} {throttle('top', 'low')}",
    "throttle-below-copy-on-read": f"{throttle('low', 'd0')} {filtered('copy-on-read', 'top', 'low')}",
    "throttle-below-raw": f"{throttle('low', 'd0')} {filtered('raw', 'top', 'low')}",
}
# What a load through it leaves alive from 10.0 on.
FILTERED: Final = {
    "raw": filtered("raw", "top", "d0"),
    "copy-on-read": filtered("copy-on-read", "top", "d0"),
    "copy-on-read-on-raw": f"{filtered('raw', 'low', 'd0')} {filtered('copy-on-read', 'top', 'low')}",
    "blkdebug": "-blockdev driver=blkdebug,node-name=top,image=d0",
}
MIRROR: Final = block_job("blockdev-mirror", target="d1", sync="full")

CRASHES: Final = (
    Crash(Case("encrypted", ENCRYPTED, (), {}), "savevm t", always, "", ENCRYPTED_VMSTATE),
    *(
        Crash(loading(name, f"{GROUP} {blockdev('d0')} {filters} {virtio('top')}"), "loadvm t", from_10, "", "")
        for name, filters in THROTTLED.items()
    ),
    Crash(loading("throttle-unattached", f"{GROUP} {blockdev('d0')} {throttle('top', 'd0')}"), "loadvm t", from_10, "", ""),
    Crash(
        loading("throttle-second", f"{GROUP} {disk('d1')} {blockdev('d0')} {throttle('top', 'd0')} {virtio('top')}"),
        *("loadvm t", from_10, "", ""),
    ),
    Crash(
        loading("blkdebug", f"{blockdev('d0')} -blockdev driver=blkdebug,node-name=top,image=d0 {virtio('top')}"),
        *("loadvm t", until_10, "", ""),
    ),
    Crash(with_job("mirror", MIRROR, READY), "loadvm t", until_10, BITMAPS, UNDER_A_JOB),
    Crash(
        with_job("mirror-running", DIRTY, block_job("blockdev-mirror", target="d1", sync="full", speed=1)),
        *("loadvm t", until_10, BITMAPS, UNDER_A_JOB),
    ),
    Crash(
        with_job("mirror-of-second", MIRROR, READY, args=f"{disk('d2')} {disk('d0')} {blockdev('d1')}"),
        *("loadvm t", until_10, BITMAPS, UNDER_A_JOB),
    ),
    Crash(
        with_job("commit-ready", OVERLAY, block_job("block-commit"), READY, args=disk("d0")),
        *("loadvm t", until_10, BITMAPS, UNDER_A_JOB),
    ),
    Crash(
        with_job("commit-running", OVERLAY, DIRTY, block_job("block-commit", speed=1), args=disk("d0")),
        *("loadvm t", until_10, BITMAPS, UNDER_A_JOB),
    ),
    *(
        Crash(replace(case, name=f"{state}-{line.split()[0]}"), line, until_7_2, NOT_OURS, IN_MIGRATION, (5, 0), state)
        for state, case in (("inmigrate", INCOMING), ("postmigrate", MIGRATED))
        for line in ("savevm t", "loadvm t")
    ),
)


def switched_on(capability: str) -> Case:
    """Return a case with a snapshot, after which the migration capability is turned on where there is one of that name."""
    change: Step = ("migrate-set-capabilities", {"capabilities": [{"capability": capability, "state": True}]})
    return Case(capability, disk("d0"), (), TWO, setup=["savevm t", change])


RECORDING: Final = Case("", f"-icount shift=3,rr=record,rrfile=rr.bin {disk('d0')}", (), TWO, setup=["savevm t"])

# What was not looked at on a QEMU without snapshot jobs.
LATER_CRASHES: Final = (
    *(
        Crash(replace(switched_on("multifd"), name=f"multifd-{line}"), line, until_10_2, REFUSES_MULTIFD, MULTIFD)
        for line in ("savevm t", "savevm new", "loadvm t")
    ),
    *(Crash(replace(RECORDING, name=f"replay-{line}"), line, from_10_1, "", IN_REPLAY) for line in ("savevm t", "delvm t")),
)
# A capability that 9.1 dropped.
COMPRESSED: Final = Crash(switched_on("compress"), "loadvm t", with_compression, "", COMPRESS)


@pytest.fixture(scope="session")
def encrypted_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty qcow2 image that is encrypted with LUKS."""
    image = tmp_path_factory.mktemp("encrypted") / "e.qcow2"
    command = ["qemu-img", "create", "-q", "--object", "secret,id=s,data=123456", "-f", "qcow2"]
    options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=20"
    # "Unable to get accurate CPU usage" is what qemu-img says where the kernel's clock tick has not seen the 20 ms that it
    # measures itself for (crypto/pbkdf.c), as on a busy machine.
    for _ in range(200):
        done = subprocess.run([*command, "-o", options, image, "8M"], capture_output=True, text=True, check=False)
        if "accurate CPU usage" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return image


@contextmanager
def endangered(crash: Crash, encrypted_image: Path, tmp_path: Path) -> Iterator[QEMUVM]:
    image = Path(shutil.copy(encrypted_image, tmp_path))
    case = replace(crash.case, args=crash.case.args.replace("{encrypted}", str(image)))
    with started(case, paused=False) as vm:
        with vm.negotiated(observer=True) as observer:
            wait_for(observer, crash.run_state)
        yield vm


def run_to_death(vm: QEMUVM, client: RawClient, crash: Crash, version: QEMUVersion) -> None:
    """The client gets EOF instead of a reply, and QEMU has ended by a signal; or, where that is what it does, it hangs."""
    client.send(b'{"execute": "human-monitor-command", "arguments": {"command-line": "%s"}}\n' % crash.line.encode())
    try:
        assert b'"return"' not in client.expect_eof()
    except DeadlineError:
        assert crash.proxied == UNDER_A_JOB
        assert (8, 0) <= version < (10, 0)
        assert vm.is_alive
    else:
        assert vm.wait_gone() in CRASHED


all_crashes = pytest.mark.parametrize(
    "crash",
    [*CRASHES, *(pytest.param(crash, marks=pytest.mark.needs_snapshot_jobs) for crash in LATER_CRASHES)],
    ids=lambda crash: crash.case.name,
)


@all_crashes
def test_qemu_itself_dies(crash: Crash, qemu_version: QEMUVersion, encrypted_image: Path, tmp_path: Path) -> None:
    """Or, in versions without the crash, it gives an answer."""
    with endangered(crash, encrypted_image, tmp_path) as vm, vm.negotiated() as client:
        if crash.kills(qemu_version):
            run_to_death(vm, client, crash, qemu_version)
        else:
            assert re.fullmatch(crash.native, client.hmp(crash.line))
            assert vm.is_alive


@all_crashes
def test_proxy_keeps_qemu_alive(crash: Crash, qemu_version: QEMUVersion, encrypted_image: Path, tmp_path: Path) -> None:
    """It answers as HMP answers a failure, and the VM goes on as it was."""
    with (
        endangered(crash, encrypted_image, tmp_path) as vm,
        ProxyProcess(vm.folder, vm.qmp_path) as proxy,
        proxy.negotiated() as client,
    ):
        if crash.kills(qemu_version) and not crash.is_guarded(qemu_version):
            run_to_death(vm, client, crash, qemu_version)
            return
        text = client.hmp(crash.line)
        assert re.fullmatch(crash.proxied if crash.is_guarded(qemu_version) else crash.native, text)
        assert vm.is_alive
        if crash.is_guarded(qemu_version):
            assert run_state_of(client) == crash.run_state
            assert proxy.records[-1]["action"] == ("refused" if crash.proxied else "rewritten")


@all_crashes
def test_guard_can_be_turned_off(crash: Crash, qemu_version: QEMUVersion, encrypted_image: Path, tmp_path: Path) -> None:
    """QEMU dies, or not, as natively; the client gets EOF, and no invented error."""
    with (
        endangered(crash, encrypted_image, tmp_path) as vm,
        ProxyProcess(vm.folder, vm.qmp_path, ["--no-guard"]) as proxy,
        proxy.negotiated() as client,
    ):
        if crash.kills(qemu_version):
            run_to_death(vm, client, crash, qemu_version)
        else:
            assert re.fullmatch(crash.native, client.hmp(crash.line))
            assert vm.is_alive


@pytest.mark.needs_snapshot_jobs
@pytest.mark.parametrize("filters", [*THROTTLED.values(), *FILTERED.values()], ids=[*THROTTLED, *FILTERED])
def test_disk_below_a_filter_comes_back_and_goes_on(filters: str) -> None:
    """After a native load QEMU 7.2 lives, but a request through the filter never ends, and the monitor waits with it."""
    args = f"{BIOS} {GROUP} {blockdev('d0')} {filters} {virtio('top', 'share-rw=on')} {disk('d1')}"
    with machine(args, TWO) as vm, vm.proxied() as (client, _):
        vm.write(0xAA, "top", "d1")
        assert client.hmp("savevm t") == ""
        vm.write(0xBB, "top", "d1")
        assert vm.patterns("d1") == [0xBB]
        assert client.hmp("loadvm t") == ""
        assert vm.observer.hmp("qemu-io top flush") == ""
        assert [pattern_of(vm.vm.path(image)) for image in TWO] == [0xAA, 0xAA]
        assert vm.run_state == "running"
        vm.write(0xCC, "top")
        assert client.hmp("delvm t") == ""
        assert vm.images == {"d0.qcow2": [], "d1.qcow2": []}


def assert_goes_round(client: RawClient) -> None:
    for line in ("savevm t", "savevm t", "loadvm t"):
        assert client.hmp(line) == ""
    assert run_state_of(client) == "running"


def test_encryption_beside_the_vm_state_is_no_danger(encrypted_image: Path, tmp_path: Path) -> None:
    """QEMU dies only of a VM state on the encrypted disk, and that alone is refused."""
    image = shutil.copy(encrypted_image, tmp_path)
    with machine(f"{BIOS} {disk('d0')} {ENCRYPTED.format(encrypted=image)}", {"d0.qcow2": ""}) as vm:
        with vm.native() as client:
            assert_goes_round(client)
        with vm.proxied() as (client, _):
            assert_goes_round(client)
        assert vm.images == {"d0.qcow2": [("t", True)], "e.qcow2": [("t", False)]}


@pytest.mark.needs_snapshot_jobs
def test_vm_state_may_be_put_beside_the_encrypted_disk(encrypted_image: Path, tmp_path: Path) -> None:
    """That is the way out that the refusal names."""
    image = shutil.copy(encrypted_image, tmp_path)
    with machine(f"{BIOS} {ENCRYPTED.format(encrypted=image)} {disk('d0')}", {"d0.qcow2": ""}) as vm:
        with vm.proxied() as (client, _):
            assert re.fullmatch(ENCRYPTED_VMSTATE, client.hmp("savevm t"))
            assert vm.run_state == "running"
            assert vm.images == {"d0.qcow2": [], "e.qcow2": []}
        with vm.proxied("--vmstate", "d0") as (client, _):
            assert_goes_round(client)
        assert vm.images == {"d0.qcow2": [("t", True)], "e.qcow2": [("t", False)]}
        with vm.proxied("--vmstate", "e") as (client, _):
            assert re.fullmatch(ENCRYPTED_VMSTATE, client.hmp("savevm t"))
            assert client.hmp("loadvm t") == ""


@pytest.mark.needs_snapshot_jobs
def test_compression_is_refused_where_loading_would_crash(
    qemu_version: QEMUVersion, encrypted_image: Path, tmp_path: Path
) -> None:
    """Only where the capability is there at all."""
    if not with_compression(qemu_version):
        assert (
            known_crashes.against_loadvm((), "t", known_crashes.Hazards(capabilities=frozenset({"compress"})), qemu_version)
            is None
        )
        return
    test_qemu_itself_dies(COMPRESSED, qemu_version, encrypted_image, tmp_path)
    test_proxy_keeps_qemu_alive(COMPRESSED, qemu_version, encrypted_image, tmp_path)


@pytest.mark.needs_snapshot_jobs
@pytest.mark.parametrize("line", ["savevm t", "loadvm t"])
def test_multifd_does_not_cost_the_old_snapshot(line: str) -> None:
    """What the text says then helps."""
    with machine(f"{BIOS} {disk('d0')} {disk('d1')}", TWO) as vm, vm.proxied() as (client, _):
        vm.write(0xAA, "d0", "d1")
        assert client.hmp("savevm t") == ""
        assert client.hmp("migrate_set_capability multifd on") == ""
        assert "multifd" in client.hmp(line)
        assert vm.images == {"d0.qcow2": [("t", True)], "d1.qcow2": [("t", False)]}
        assert client.hmp("cont") == ""
        assert client.hmp("migrate_set_capability multifd off") == ""
        assert client.hmp(line) == ""


BLKREPLAY: Final = f"-blockdev driver=blkreplay,node-name=top,image=d0 {virtio('top')}"
REPLAYED: Final = f"{BIOS} -icount shift=3,rr=record,rrfile=rr.bin {blockdev('d0')} {BLKREPLAY}"


@pytest.mark.needs_snapshot_jobs
def test_vm_state_does_not_go_through_blkreplay() -> None:
    """Natively, and by a job, neither saving nor loading it ever ends (7.2 to 11.1)."""
    # It does not run: while a guest records, 7.2 hangs in any of these now and then, natively as well.
    with machine(f"{REPLAYED} {disk('d1')} -S", TWO) as vm:
        with vm.proxied("--vmstate", "top") as (client, _):
            assert re.fullmatch(THROUGH_BLKREPLAY, client.hmp("savevm t"))
            assert vm.run_state == "prelaunch"
            arguments = {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0", *nodes_of(vm, "d1")]}
            assert client.returned("snapshot-save", arguments) == {}
            assert client.hmp("loadvm t") == ""
        with vm.proxied("--vmstate", "d1") as (client, _):
            assert client.hmp("savevm u") == ""
            assert client.hmp("loadvm u") == ""
            assert run_state_of(client) == "prelaunch"


def nodes_of(vm: Machine, device: str) -> list[str]:
    return [row["inserted"]["node-name"] for row in vm.observer.returned("query-block") if row["device"] == device]
