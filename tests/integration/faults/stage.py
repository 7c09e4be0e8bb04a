"""A VM with two disks behind a relay and a proxy, quick to start: its images are copied from ones that were made once.

Both disks have a snapshot `t` of the content OLD, and now the content NEW; the VM's memory cannot be compressed, so that a
save takes a while. The second disk can be unplugged.
"""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from shim.plans.jobs import JOB_PREFIX
from tests.integration.command_lines import BIOS, FLASH_CODE, disk, drive
from tests.integration.faults.disks import NEW, OLD, Disks, look_at
from tests.integration.faults.relay import Condition, Gate, Relay
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, make_raw
from tests.support.raw_client import RawClient, command_bytes

__all__ = ["IMAGES", "NODES", "STICK", "Firmware", "Stage", "hmp_bytes", "negotiated_bytes", "staged", "template", "vm_of"]

MIB: Final = 1024 * 1024
# What a save has to write.
FULL_MIB: Final = 8

IMAGES: Final = ("d0.qcow2", "d1.qcow2")
NODES: Final = ("n0", "n1")
# The device of the second disk. A guest is not asked for its consent.
STICK: Final = "stick"

_DISKS: Final = (
    "-device loader,file=full,addr=0x100000,force-raw=on "
    f"{disk('d0', 'node-name=n0')} {drive('d1', 'node-name=n1')} -device virtio-scsi-pci -device scsi-hd,drive=d1,id={STICK}"
)


class Firmware(Enum):
    """What decides how a tag is replaced: QEMU's own savevm does it, or cannot, because of a raw varstore."""

    PLAIN = BIOS
    VARSTORE = f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw"


def hmp_bytes(*lines: str) -> bytes:
    """Spell HMP commands."""
    return b"".join(command_bytes("human-monitor-command", {"command-line": line}) for line in lines)


def negotiated_bytes(*lines: str) -> bytes:
    """Spell HMP commands of a client that has not negotiated."""
    return command_bytes("qmp_capabilities") + hmp_bytes(*lines)


def vm_of(firmware: Firmware, folder: Path) -> QEMUVM:
    """Describe the VM on the images of this folder."""
    return QEMUVM(f"{firmware.value} {_DISKS}".split(), folder=folder, observed=True)


def _new_folder() -> Path:
    """Make a folder in memory, if there is one; a unix socket's path is short."""
    memory = "/dev/shm"
    return Path(tempfile.mkdtemp(prefix="q", dir=memory if os.access(memory, os.W_OK) else "/tmp"))


@cache
def template(firmware: Firmware) -> Path:
    """Make the images, once a process."""
    folder = _new_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_raw(folder / "idle.rom", len(IDLE_ROM), content=IDLE_ROM)
    make_raw(folder / "vars.raw", MIB)
    (folder / "full").write_bytes(os.urandom(FULL_MIB * MIB))
    for image in IMAGES:
        make_qcow2(folder / image, "1M")
    with vm_of(firmware, folder) as vm:
        with vm.negotiated(observer=True) as observer:
            _fill(observer, OLD)
            run_job(observer, "snapshot-save", "t")
            _fill(observer, NEW)
        vm.quit()
    return folder


def _fill(observer: RawClient, content: int) -> None:
    for device in ("d0", "d1"):
        assert observer.hmp(f'qemu-io {device} "write -q -P {content:#x} 0 1M"') == ""


def run_job(client: RawClient, name: str, tag: str) -> None:
    """Run a snapshot job of the test's own on both disks."""
    client.returned(name, {"job-id": "own", "tag": tag, "vmstate": NODES[0], "devices": list(NODES)})
    (job,) = client.returned("query-jobs")
    assert (job["status"], job.get("error")) == ("concluded", None)
    client.returned("job-dismiss", {"id": "own"})


@dataclass(slots=True)
class Stage:
    """The VM, the relay, and the proxies of it so far, the last one of which runs. upstream: what a proxy connects to."""

    vm: QEMUVM
    relay: Relay
    upstream: str
    options: Sequence[str]
    proxies: list[ProxyProcess] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def folder(self) -> Path:
        return self.vm.folder

    @property
    def proxy(self) -> ProxyProcess:
        return self.proxies[-1]

    def start_proxy(self) -> ProxyProcess:
        """Start a proxy; the log of an earlier one goes on."""
        self.proxies.append(ProxyProcess(self.folder, self.upstream, self.options))
        return self.stack.enter_context(self.proxies[-1])

    def stop_proxy(self) -> None:
        """End the proxy in order."""
        self.proxy.__exit__(None, None, None)

    def client(self) -> RawClient:
        """Return a client of the proxy in command mode."""
        return self.stack.enter_context(self.proxy.negotiated())

    def observer(self) -> RawClient:
        """Return a client of QEMU's other monitor in command mode."""
        return self.stack.enter_context(self.vm.negotiated(observer=True))

    def gate(self, condition: Condition, *, freezes: bool = False) -> Gate:
        """Stop the conversation at a message; freezes: QEMU, too, at once, until `thaw`."""
        return self.relay.gate(condition, self.freeze if freezes else lambda: None)

    def freeze(self) -> None:
        """Stop QEMU, and see that all its threads stand still, or that it has gone."""
        assert self.vm.process is not None
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.vm.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send QEMU a signal; nothing happens if it has gone."""
        assert self.vm.process is not None
        self.vm.process.send_signal(number)

    def see_loop(self) -> None:
        """Wait until the proxy has dealt with all that reached it before: it greets those who come later."""
        with self.proxy.connect() as passing:
            passing.receive_message()

    def own_jobs(self, client: RawClient) -> list[dict[str, Any]]:
        """Return the proxies' jobs, which their clients do not see."""
        return [job for job in client.returned("query-jobs") if job["id"].startswith(JOB_PREFIX)]

    def end(self) -> Disks:
        """End what still runs, in order, and look at the disks."""
        self.stack.close()
        self.vm.quit()
        return look_at(self.folder, *IMAGES)


@contextmanager
def staged(
    firmware: Firmware, options: Sequence[str] = (), *, starts_proxy: bool = True, is_relayed: bool = True
) -> Iterator[Stage]:
    """Copy the images, and start the VM, the relay and a proxy. is_relayed: the proxy is behind the relay."""
    folder = _new_folder()
    try:
        for name in ("idle.rom", "full"):
            os.link(template(firmware) / name, folder / name)
        for name in ("vars.raw", *IMAGES):
            shutil.copy(template(firmware) / name, folder)
        with vm_of(firmware, folder) as vm, Relay(folder, vm.qmp_path) as relay:
            stage = Stage(vm, relay, relay.path if is_relayed else vm.qmp_path, options)
            with stage.stack:
                if starts_proxy:
                    stage.start_proxy()
                yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)
