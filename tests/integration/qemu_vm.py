"""A real QEMU for integration tests: started in a folder of its own, never left behind.

TCG is the default because it is the same everywhere; `accel="kvm"` where a test needs it. The program is
`qemu-system-x86_64` from PATH, or what the environment variable QEMU_SYSTEM names. A missing QEMU is a failure, not a
skip: an integration test that does not run proves nothing.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from shim.qmp import QEMUVersion
from tests.support.raw_client import DEADLINE_S, ConnectionLostError, DeadlineError, RawClient, negotiated

__all__ = [
    "DIRTYING_ROM",
    "IDLE_ROM",
    "QEMUVM",
    "QEMUError",
    "make_qcow2",
    "make_raw",
    "reconnecting",
    "rom",
    "snapshots_of",
    "version",
]

RETRY_S: Final = 0.005
_STARTS: Final = 3
# One that has closed its monitors ends within this.
_END_S: Final = 5.0
KIB: Final = 1024


class QEMUError(Exception):
    """QEMU is not installed, did not start, or did not end in time."""


def rom(code: bytes) -> bytes:
    """Return a 64 KiB firmware whose code runs at F000:0000, where the reset vector jumps to."""
    reset_vector = b"\xea\x00\x00\x00\xf0"  # jmp 0xf000:0x0000
    return code.ljust(0xFFF0, b"\x90") + reset_vector.ljust(16, b"\x00")


# A guest that sleeps for ever: `cli; hlt; jmp`. As `-bios` or in pflash unit 0; a save of it is the same every time.
IDLE_ROM: Final = rom(b"\xfa\xf4\xeb\xfd")

# A guest that adds 1 to each byte of 0x10000-0x1ffff for ever: `mov ax,0x1000; mov ds,ax; xor bx,bx`, then
# `inc byte [bx]; inc bx; jmp`.
DIRTYING_ROM: Final = rom(b"\xfa\xb8\x00\x10\x8e\xd8\x31\xdb\xfe\x07\x43\xeb\xfb")


def qemu_binary() -> str:
    """Return the path of the QEMU to test; QEMUError when there is none."""
    name = os.environ.get("QEMU_SYSTEM", "qemu-system-x86_64")
    path = shutil.which(name)
    if path is None:
        raise QEMUError(f"{name} is not installed; the integration tests need it (or QEMU_SYSTEM=/path/to/it)")
    return path


def reconnecting(qemu_version: QEMUVersion) -> str:
    """Return the option with which a chardev connects again after a second; the older one went with QEMU 11."""
    return "reconnect-ms=1000" if qemu_version >= (9, 2) else "reconnect=1"


class QEMUVM:
    """A QEMU process with its QMP socket at `qmp_path`; leaving the context kills it and removes its folder.

    `args` come behind `-nodefaults`. Relative file names in them are relative to `folder`. With `observed=True` there
    is a second monitor at `observer_path` for the test's own view. A folder that is given is not removed.
    """

    def __init__(
        self,
        args: Sequence[str] = (),
        *,
        folder: Path | None = None,
        observed: bool = False,
        pretty: bool = False,
        accel: str = "tcg",
        memory: str = "32",
    ) -> None:
        self._owns_folder = folder is None
        # Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path.
        self.folder = Path(tempfile.mkdtemp(prefix="q", dir="/tmp")) if folder is None else folder
        self.args = tuple(args)
        self.accel = accel
        self.memory = memory
        self.pretty = pretty
        self.qmp_path = str(self.folder / "qmp.sock")
        self.observer_path = str(self.folder / "obs.sock") if observed else None
        self.stderr_path = self.folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def stderr(self) -> str:
        """What QEMU has written to stdout and stderr so far."""
        return self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name

    def start(self) -> None:
        """Start QEMU and wait until it runs; QEMUError with its stderr when it ends instead."""
        for _ in range(_STARTS):
            with self.stderr_path.open("ab") as stderr:
                self.process = subprocess.Popen(
                    self._command_line(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
                )
            if self._has_started():
                return
            self.kill()
        raise QEMUError(f"QEMU's monitors do not begin: {self.stderr}")

    def _has_started(self) -> bool:
        """Wait until QEMU runs; False if two of its threads have accepted the same client, and QEMUError if it has ended.

        While QEMU gives its monitors to their thread, two threads may see that a client comes. The one that finds it accepted
        stays in accept(2), and all monitors with it, until another comes; then QEMU turns one away, or aborts. (Seen on 7.2
        with -preconfig, once in 3,000 starts.)
        """
        # The socket is there before QEMU has read all its arguments; the greeting comes when it runs. Where there is an
        # observer's, that is waited for: somebody may be waiting for the other, which takes one at a time.
        is_observed = self.observer_path is not None
        with self.connect(observer=is_observed) as client, self.connect(observer=is_observed) as another:
            if self._greets(client) and self._greets(another):
                return True
        assert self.process is not None, "start has made it"
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process.wait(_END_S) != -signal.SIGABRT:
                raise QEMUError(f"QEMU ended at once: {self.stderr}")
        return False

    def _greets(self, client: RawClient) -> bool:
        """Wait for the greeting and leave; False if the client is turned away."""
        with client:
            try:
                client.receive_message()
            except (ConnectionLostError, DeadlineError):
                return False
        return True

    def connect(self, *, observer: bool = False) -> RawClient:
        """Connect to the QMP socket (or the observer's), waiting until QEMU listens; not negotiated."""
        path = self.qmp_path
        if observer:
            if self.observer_path is None:
                raise QEMUError("start the VM with observed=True")
            path = self.observer_path
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return RawClient.connect(path, pretty=self.pretty and not observer)
            # BlockingIOError: QEMU listens with a backlog of 1, and it is full.
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                if not self.is_alive:
                    raise QEMUError(f"QEMU ended at once: {self.stderr}") from None
                if time.monotonic() > deadline:
                    raise QEMUError(f"QEMU does not listen: {self.stderr}") from None
            time.sleep(RETRY_S)

    def negotiated(self, *, observer: bool = False) -> RawClient:
        """Return a client in command mode."""
        return negotiated(self.connect(observer=observer))

    def wait_gone(self) -> int:
        """Wait for QEMU's end and give its exit status, negative for a signal; QEMUError after the deadline."""
        if self.process is None:
            raise QEMUError("QEMU was not started")
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired as exc:
            raise QEMUError(f"QEMU still runs after {DEADLINE_S:g} s: {self.stderr}") from exc

    def quit(self) -> int:
        """End QEMU in order (SIGTERM, as `quit` does) and give its exit status."""
        if self.process is not None:
            self.process.terminate()
        return self.wait_gone()

    def kill(self) -> None:
        """End QEMU at once; nothing happens when it is gone already."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Kill QEMU and remove the folder if it was made here; a second call does nothing."""
        self.kill()
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _command_line(self) -> list[str]:
        mode = "on" if self.pretty else "off"
        monitors = ["-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=off"]
        monitors += ["-mon", f"chardev=qmp,mode=control,pretty={mode}"]
        if self.observer_path is not None:
            monitors += ["-qmp", "unix:obs.sock,server=on,wait=off"]
        machine = ["-accel", self.accel, "-m", self.memory, "-display", "none", "-nodefaults"]
        return [qemu_binary(), *machine, *monitors, *self.args]


def _qemu_img(*args: str) -> str:
    program = shutil.which("qemu-img")
    if program is None:
        raise QEMUError("qemu-img is not installed; the integration tests need it")
    return subprocess.run([program, *args], check=True, capture_output=True, text=True).stdout


def make_qcow2(path: Path, size: str = "8M", *, options: str = "") -> Path:
    """Make an empty qcow2 image; `options` as for `qemu-img create -o`."""
    extra = ["-o", options] if options else []
    _qemu_img("create", "-q", "-f", "qcow2", *extra, str(path), size)
    return path


def make_raw(path: Path, size_bytes: int = 64 * KIB, *, content: bytes = b"") -> Path:
    """Make a raw image that begins with `content` and is zero behind it."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size_bytes)
    return path


def snapshots_of(image: Path) -> list[tuple[str, int]]:
    """Return name and VM state size of each internal snapshot, in the image's order; also while QEMU has it open."""
    described: dict[str, Any] = json.loads(_qemu_img("info", "-U", "--output=json", str(image)))
    return [(row["name"], row["vm-state-size"]) for row in described.get("snapshots", [])]


def version(vm: QEMUVM) -> QEMUVersion:
    """Return the version from the greeting."""
    with vm.connect() as client:
        triple = client.receive()["QMP"]["version"]["qemu"]
    return QEMUVersion(triple["major"], triple["minor"], triple["micro"])
