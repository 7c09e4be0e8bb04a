"""The demo's folder, and the two programs that work in it: QEMU and the proxy. Each is gone when its context ends."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from demo.errors import DemoError

__all__ = ["ROOT", "VM", "Program", "is_listening", "proxy_command", "running", "shown", "temporary_folder"]

ROOT: Final = Path(__file__).parents[1]
_END_DEADLINE_S: Final = 10.0
# The path of a socket has at most 107 bytes (unix(7)); mkdtemp and the sockets' names need some of them.
_LONGEST_PARENT_BYTES: Final = 60

_KIB: Final = 1024
# A firmware of 64 KiB that sleeps forever: at its end the reset vector, `jmp 0xf000:0x0000`, and there `cli; hlt; jmp`.
_FIRMWARE: Final = b"\xfa\xf4\xeb\xfd".ljust(0xFFF0, b"\x90") + b"\xea\x00\x00\x00\xf0".ljust(16, b"\x00")


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Provide a new folder, in $TMPDIR if its path is short enough for sockets, else in /tmp."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _LONGEST_PARENT_BYTES:
        parent = "/tmp"
    folder = Path(tempfile.mkdtemp(prefix="hmpshim-demo-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Program:
    """A running program whose output goes to a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self._name = name
        self._log = log
        with log.open("wb") as output:
            # In a session of its own: Ctrl-C in the terminal is for the demo, which ends the programs in order.
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def output(self) -> str:
        """Return what it has written to its standard output and error so far."""
        return self._log.read_text(errors="replace")

    def check_alive(self) -> None:
        """Raise DemoError with the program's last line if it has ended."""
        if self._process.poll() is not None:
            last_line = self.output.strip().rpartition("\n")[2] or "it said nothing"
            raise DemoError(f"{self._name} has ended: {last_line}")

    def end(self) -> None:
        """Terminate the program, and kill it if that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(name: str, command: Sequence[str], log: Path) -> Iterator[Program]:
    """Run a program until the context ends."""
    program = Program(name, command, log)
    try:
        yield program
    finally:
        program.end()


class VM:
    """A tiny VM with the disks of a UEFI guest: d0 (qcow2 on virtio), pflash0 (code, read-only) and pflash1 (raw varstore)."""

    def __init__(self, folder: Path) -> None:
        self.qmp_path = folder / "qmp.sock"
        self.log = folder / "qemu.log"
        self._disk = folder / "disk.qcow2"
        self._code = folder / "code.fd"
        self._varstore = folder / "vars.fd"

    def make_images(self) -> None:
        """Create the VM's images. Raises DemoError if qemu-img is missing or fails."""
        self._code.write_bytes(_FIRMWARE)
        self._varstore.write_bytes(bytes(64 * _KIB))
        command = [_find("qemu-img"), "create", "-q", "-f", "qcow2", str(self._disk), "64M"]
        done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, check=False)
        if done.returncode:
            raise DemoError(f"qemu-img failed: {done.stderr}")

    def command(self) -> list[str]:
        """Return QEMU's command line. Raises DemoError if QEMU is missing."""
        accelerators = ["-accel", "kvm"] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []
        return [
            *(_find(os.environ.get("QEMU_SYSTEM", "qemu-system-x86_64")), "-nodefaults", "-display", "none", "-m", "32"),
            # QEMU uses the first accelerator that works.
            *(*accelerators, "-accel", "tcg"),
            *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={self._code}"),
            *("-drive", f"if=pflash,unit=1,format=raw,file={self._varstore}"),
            *("-drive", f"if=virtio,id=d0,format=qcow2,file={self._disk}"),
            *("-name", "demo", "-qmp", f"unix:{self.qmp_path},server=on,wait=off"),
        ]


def is_listening(path: Path) -> bool:
    """Return whether somebody listens on a unix socket, without connecting to it.

    The kernel's table shows that: Flags with __SO_ACCEPTCON (linux/net.h); the path comes last.
    """
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return any(line.endswith(f" {path}\n") and int(line.split()[3], 16) & 0x10000 for line in table)


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise DemoError(f"{program} is not installed (./run demo installs what is missing, on Debian and Ubuntu)")
    return path


def proxy_command(vm: VM, listen: Path, audit: Path) -> list[str]:
    """Return the command line of hmp-proxy in front of the VM."""
    sockets = ["--upstream", f"unix:{vm.qmp_path}", "--listen", f"unix:{listen}"]
    return [sys.executable, "-m", "proxy", *sockets, "--audit", str(audit)]


def shown(command: Sequence[str]) -> str:
    """Return a command line as a person would type it in a shell."""
    return shlex.join([Path(command[0]).name, *command[1:]])
