"""The VMs, and the one proxy that serves them all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.command_lines import BIOS, FLASH_CODE, disk
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, make_qcow2, make_raw
from tests.soak.oracle import Violation
from tests.support.checkout import ROOT
from tests.support.raw_client import TIME_SCALE, RawClient

__all__ = ["DEADLINE_S", "PROFILES", "Machine", "Profile", "Proxy", "Scene"]

# QEMU may be stopped for a while, and the machine is busy.
DEADLINE_S: Final = 60.0 * TIME_SCALE
_MIB: Final = 1024 * 1024
_END_S: Final = 8.0 * TIME_SCALE
# Room for all tags and two more saves; a full disk has so much left that a save begins.
_DISK_MIB: Final = 160
_LEFT_MIB: Final = 1
# Memory that cannot be compressed, so that a save takes a while.
_FULL_MIB: Final = 6
_LOADER: Final = "-device loader,file=full,addr=0x100000,force-raw=on"


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of VM. is_safe: a tag is replaced by way of an internal one, because QEMU's own savevm refuses the varstore."""

    name: str
    firmware: str
    disks: int
    is_safe: bool = False

    @property
    def images(self) -> dict[str, str]:
        """The device of each image."""
        return {f"d{number}.qcow2": f"d{number}" for number in range(self.disks)}

    @property
    def nodes(self) -> list[str]:
        return [f"n{number}" for number in range(self.disks)]

    @property
    def args(self) -> Sequence[str]:
        disks = " ".join(disk(f"d{number}", f"node-name=n{number}") for number in range(self.disks))
        return f"{self.firmware} {_LOADER} {disks} -name {self.name}".split()


PROFILES: Final = (
    Profile("vm-one", BIOS, 1),
    Profile("vm-two", BIOS, 2),
    Profile("vm-uefi", f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw", 2, is_safe=True),
)


class Machine:
    """A VM on a small file system of its own, with a monitor for the soak's own view. It is ended and started many times."""

    def __init__(self, profile: Profile, folder: Path, *, is_mounted: bool) -> None:
        self.profile = profile
        self.folder = folder
        # A full disk can be made here only.
        self.is_mounted = is_mounted
        self.vm = QEMUVM(profile.args, folder=folder, observed=True)
        self.legacy_path = str(folder / "legacy.sock")
        # How often it was ended, and whether it is just now, up to its next start.
        self.ends = 0
        self.is_ending = False
        # Its exit status if it ended and nobody had ended it.
        self.crash: int | None = None
        self.qemu_major = 0
        # How often QEMU did not come to its end by itself.
        self.hangs = 0
        self._observer: RawClient | None = None
        self._lock = threading.Lock()

    @property
    def observer(self) -> RawClient:
        assert self._observer is not None, "it does not run"
        return self._observer

    def make(self) -> None:
        make_raw(self.folder / "idle.rom", len(IDLE_ROM), content=IDLE_ROM)
        make_raw(self.folder / "vars.raw", _MIB)
        (self.folder / "full").write_bytes(os.urandom(_FULL_MIB * _MIB))
        for image in self.profile.images:
            make_qcow2(self.folder / image, "1M")

    def start(self) -> None:
        self.vm.start()
        self._observer = self.vm.negotiated(observer=True)
        self.qemu_major = self._observer.returned("query-version")["qemu"]["major"]
        self.crash = None
        self.is_ending = False

    def end(self, number: signal.Signals) -> None:
        """End QEMU by a signal. Whoever is connected finds out by himself."""
        assert self.vm.process is not None
        self.notice_crash()
        with self._lock:
            self.is_ending = True
            self.ends += 1
        self.vm.process.send_signal(number)

    def wait_gone(self) -> None:
        """Wait for QEMU's end, or bring it about.

        A QEMU 7.2.22 that is asked to end while its monitor has much to do may never come to it, without a proxy too (5 of 150
        runs, with OOB enabled).
        """
        assert self.vm.process is not None
        try:
            self.vm.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.hangs += 1
            self.vm.kill()
        self.close_observer()

    def notice_crash(self) -> None:
        """Take note of an end that nobody brought about."""
        with self._lock:
            if not self.is_ending and self.vm.process is not None and (status := self.vm.process.poll()) is not None:
                self.is_ending, self.crash = True, status
                self.ends += 1

    def close_observer(self) -> None:
        if self._observer is not None:
            self._observer.close()
            self._observer = None

    def close(self) -> None:
        self.close_observer()
        self.vm.kill()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Leave nearly no room beside the images."""
        filler = self.folder / "filler"
        room = os.statvfs(self.folder)
        size = max(0, room.f_bavail * room.f_bsize - _LEFT_MIB * _MIB)
        try:
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            yield
        finally:
            filler.unlink(missing_ok=True)


class Proxy:
    """`hmp-proxy` for all VMs, by a configuration file. It is ended and started many times, too."""

    def __init__(self, folder: Path, machines: Sequence[Machine]) -> None:
        self.folder = folder
        self.log = folder / "audit.jsonl"
        self.stderr_path = folder / "proxy.stderr"
        # How often it was ended, and whether it is just now.
        self.ends = 0
        self.is_ending = False
        # Held while it is being ended and started.
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self._config = folder / "hmpshim.toml"
        tables = (
            f'[[vm]]\nname = "{machine.profile.name}"\nupstream = "unix:{machine.vm.qmp_path}"\n'
            f'listen = ["unix:{machine.legacy_path}"]\n'
            for machine in machines
        )
        self._config.write_text(f'[defaults]\naudit = "{self.log}"\nwait = true\n\n' + "\n".join(tables))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def start(self) -> None:
        environ = os.environ | {"STATE_DIRECTORY": str(self.folder), "PYTHONASYNCIODEBUG": ""}
        command = [sys.executable, "-W", "error", "-m", "proxy", "--config", str(self._config), "--verbose"]
        with self.stderr_path.open("ab") as stderr:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=environ
            )

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait for its end. Raises Violation if SIGTERM is not heard well."""
        assert self.process is not None
        self.is_ending = True
        self.ends += 1
        self.process.send_signal(number)
        try:
            status = self.process.wait(DEADLINE_S * 2)
        except subprocess.TimeoutExpired as exc:
            raise Violation("the proxy", f"an end by {number.name}", "it still runs") from exc
        if number is signal.SIGTERM and status:
            raise Violation("the proxy", "exit status 0", f"{status}: {self.stderr[-2000:]}")

    def restart(self, number: signal.Signals) -> None:
        with self.lock:
            self.end(number)
            self.start()
            self.is_ending = False

    def check(self) -> None:
        """See that it runs, and has not failed itself. Raises Violation."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise Violation("the proxy", "it runs", f"exit status {self.process.returncode}: {self.stderr[-2000:]}")
        if "Traceback" in self.stderr:
            raise Violation("the proxy", "no failure of its own", self.stderr[self.stderr.index("Traceback") :][:3000])

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Scene:
    """All of it in one folder. Leaving the context ends what runs; the folder stays for whoever wants to look."""

    def __init__(self, folder: Path, profiles: Sequence[Profile] = PROFILES) -> None:
        self.folder = folder
        self.machines: list[Machine] = []
        for profile in profiles:
            place, is_mounted = _place(folder / profile.name)
            self.machines.append(Machine(profile, place, is_mounted=is_mounted))
        self.proxy = Proxy(folder, self.machines)

    def __enter__(self) -> "Scene":
        try:
            for machine in self.machines:
                machine.make()
                machine.start()
            self.proxy.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.proxy.close()
        for machine in self.machines:
            machine.close()

    def remove(self) -> None:
        """Take the file systems away; what is on them is lost."""
        for machine in self.machines:
            if machine.is_mounted:
                subprocess.run(["umount", machine.folder], check=True)


def _place(folder: Path) -> tuple[Path, bool]:
    """Make a folder, with a small file system in it if that is allowed; tells whether it is."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "hmpshim-soak", str(folder)]
    return folder, subprocess.run(mount, capture_output=True, check=False).returncode == 0
