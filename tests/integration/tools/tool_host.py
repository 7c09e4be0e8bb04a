"""A host on which a tool starts QEMU by itself: under QEMU's name on PATH it finds QEMU, or the wrapper, a link to hmp-proxy.

The machine is a UEFI one with an idle varstore in pflash and a disk. What a snapshot brings back is told by bytes: those that
`write` puts on the disk, those of the varstore, and a mark in the guest's memory that is another one each time QEMU is started.
Between two lives of the machine `spoil` writes over disk and varstore.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.qemu_vm import DIRTYING_ROM, KIB, make_qcow2, make_raw, qemu_binary, snapshots_of
from tests.integration.uefi_machine import DISK, FLASH, QCOW2_VARS, RAW_VARS, pattern_of
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

__all__ = [
    "FIRST",
    "IMAGES",
    "NEXT",
    "SLOW_DISK",
    "VARSTORES",
    "Ask",
    "ToolHost",
    "changing_byte",
    "mark",
    "tool_host",
    "write",
    "write_long",
]

# What a tool calls QEMU.
_QEMU: Final = "qemu-system-x86_64"
VARSTORES: Final = {"raw": RAW_VARS, "qcow2": QCOW2_VARS}
IMAGES: Final = {"raw": "vars.raw", "qcow2": "vars.qcow2"}
# What comes after a long write waits, so that a save there takes a while, as that of a real guest does.
SLOW_DISK: Final = (
    "-object throttle-group,id=brake,x-bps-write=1000000 -drive if=none,id=d0,driver=qcow2,cache=unsafe,file.driver=throttle,"
    "file.throttle-group=brake,file.file.driver=file,file.file.filename=d0.qcow2 -device virtio-blk-pci,drive=d0"
)
# The bytes of disk and varstore, and the marks of the first life and of the next one.
FIRST, NEXT, SPOILT = 0xAA, 0xBB, 0xCC
_MARKED_AT: Final = 0x30000
# DIRTYING_ROM counts there.
_CHANGING_AT: Final = 0x10000
_BYTE: Final = re.compile(r": 0x([0-9a-f]{2})\s*$")
_PROGRAM: Final = f"""\
#!/usr/bin/env -S {sys.executable} -W error
import sys

sys.path.insert(0, "{ROOT}")
from hmpshim import proxy

sys.exit(proxy())
"""

# Runs an HMP command and returns its text.
Ask = Callable[[str], str]


@dataclass(slots=True)
class ToolHost:
    """A folder with a machine's images and with the programs that a tool finds.

    varstore: "raw" or "qcow2".
    disk: the words for it, which may be others in the machine's next life.
    stack: what is given back at the end.
    """

    folder: Path
    varstore: str
    disk: str = DISK
    stack: ExitStack = field(default_factory=ExitStack)
    _marks: Iterator[int] = field(default_factory=lambda: iter((FIRST, NEXT)))

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def qemu(self) -> Path:
        """What is first on PATH under QEMU's name."""
        return self.path("bin") / _QEMU

    @property
    def process_names(self) -> list[str]:
        """The names of the processes that have this folder among their words."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if bytes(self.folder) in (process / "cmdline").read_bytes():
                    found.append((process / "comm").read_text().strip())
        return found

    def start(self, *words: str, program: str | Path = _QEMU, **streams: Any) -> "subprocess.Popen[bytes]":
        """Start QEMU with a tool's own words beside those of the machine. It is killed at the end, if it still runs.

        program: what the tool calls QEMU.
        """
        loader = f"loader,addr={_MARKED_AT:#x},data={next(self._marks):#x},data-len=1"
        machine = f"-accel tcg -m 32 -nodefaults {FLASH} {VARSTORES[self.varstore]} {self.disk} -device {loader}".split()
        environment = {**os.environ, "PATH": f"{self.path('bin')}:{os.environ['PATH']}", "HMPSHIM_QEMU": qemu_binary()}
        environment["HMPSHIM_CONFIG"] = str(self.path("wrap.toml"))
        with self.path("stderr").open("ab") as stderr:
            streams = {"stdin": subprocess.DEVNULL, "stdout": stderr, "stderr": stderr, **streams}
            process = subprocess.Popen([program, *machine, *words], cwd=self.folder, env=environment, **streams)
        self.stack.callback(_end, process)
        return process

    @property
    def records(self) -> list[dict[str, Any]]:
        """What the wrapper has put on record."""
        return [json.loads(line) for line in self.path("audit.jsonl").read_text().splitlines()]

    @property
    def snapshots(self) -> list[tuple[str, bool]]:
        """The tags on the disk, and whether each has the VM state."""
        return [(tag, size > 0) for tag, size in snapshots_of(self.path("d0.qcow2"))]

    @property
    def content(self) -> tuple[int, int]:
        """The bytes of the disk and of the varstore."""
        return pattern_of(self.path("d0.qcow2")), pattern_of(self.path(IMAGES[self.varstore]))

    def spoil(self) -> None:
        """Write over disk and varstore while no QEMU runs."""
        for name in ("d0.qcow2", IMAGES[self.varstore]):
            path = self.path(name)
            command = ["qemu-io", "-f", path.suffix[1:], "-c", f"write -q -P {SPOILT:#x} 0 64k", str(path)]
            subprocess.run(command, check=True)
        assert self.content == (SPOILT, SPOILT)


@contextmanager
def tool_host(*, is_wrapped: bool, varstore: str = "raw", settings: str = "") -> Iterator[ToolHost]:
    """Make a host. It is gone afterwards, with all that was started there.

    settings: of the wrapper, as lines of its file.
    """
    # Paths of unix sockets end at 107 bytes (unix(7)), so not pytest's tmp_path.
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    try:
        _make_images(folder)
        _install(folder, is_wrapped=is_wrapped, settings=settings)
        host = ToolHost(folder, varstore)
        with host.stack:
            yield host
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_images(folder: Path) -> None:
    make_raw(folder / "code.rom", len(DIRTYING_ROM), content=DIRTYING_ROM)
    raw = make_raw(folder / "vars.raw", content=bytes([FIRST]) * 64 * KIB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, folder / "vars.qcow2"], check=True)
    make_qcow2(folder / "d0.qcow2")


def _install(folder: Path, *, is_wrapped: bool, settings: str) -> None:
    (folder / "wrap.toml").write_text(f'[defaults]\naudit = "{folder / "audit.jsonl"}"\n{settings}\n')
    programs = folder / "bin"
    programs.mkdir()
    program = programs / "hmp-proxy"
    program.write_text(_PROGRAM)
    program.chmod(0o755)
    (programs / _QEMU).symlink_to(program if is_wrapped else qemu_binary())


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(DEADLINE_S)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def write(ask: Ask, byte: int) -> None:
    """Fill the beginning of the disk."""
    assert ask(f'qemu-io d0 "write -q -P {byte:#x} 0 64k"') == ""
    assert ask("qemu-io d0 flush") == ""


def write_long(ask: Ask) -> None:
    """Write elsewhere on the disk. What comes next on SLOW_DISK waits for a second."""
    assert ask(f'qemu-io d0 "write -q -P {NEXT:#x} 1M 1M"') == ""


def mark(ask: Ask) -> int:
    """Return which life of the machine the guest's memory comes from."""
    return _byte_at(ask, _MARKED_AT)


def changing_byte(ask: Ask) -> int:
    """Return a byte of the guest's memory that the guest changes all the time."""
    return _byte_at(ask, _CHANGING_AT)


def _byte_at(ask: Ask, address: int) -> int:
    text = ask(f"xp /1xb {address:#x}")
    found = _BYTE.search(text)
    assert found is not None, text
    return int(found[1], 16)
