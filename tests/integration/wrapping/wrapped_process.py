"""QEMU as a tool starts it, by itself or by the wrapper in its place, and all processes that come of that."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.integration.qemu_vm import IDLE_ROM, RETRY_S, make_raw, qemu_binary
from tests.integration.waiting import until
from tests.support.checkout import ROOT
from tests.support.proxy_command import SLOW_CALLBACK
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

__all__ = ["HMP", "NATIVE", "QMP", "WAYS", "WRAPPED", "Place", "children_of", "ended", "words_of"]

NATIVE: Final = "native"
WRAPPED: Final = "wrapped"
WAYS: Final = (NATIVE, WRAPPED)
# Monitors, at files in the folder.
QMP: Final = "-qmp unix:q,server=on,wait=off"
HMP: Final = "-monitor unix:h,server=on,wait=off"

_PYTHON: Final = (sys.executable, "-W", "error")
# As an installation has it, for links to it.
_PROGRAM: Final = f"#!{sys.executable}\nimport sys\nfrom proxy.__main__ import main\nsys.exit(main())\n"


class Place:
    """A folder in which QEMU is started; leaving the context kills all that has come of it.

    Each command line has the folder in it, so whatever comes of a start is found by that.
    """

    def __init__(self) -> None:
        # A unix socket's path has few bytes, so not pytest's folder.
        self.folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
        make_raw(self.path("idle.rom"), len(IDLE_ROM), content=IDLE_ROM)
        self.machine = ("-nodefaults", "-display", "none", "-accel", "tcg", "-m", "32", "-bios", str(self.path("idle.rom")))
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.kill()
            process.communicate()
        until(lambda: not self.processes())
        shutil.rmtree(self.folder)

    def path(self, name: str) -> Path:
        return self.folder / name

    def start(
        self,
        way: str,
        words: str,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> subprocess.Popen[bytes]:
        """Start QEMU in the folder. options: the wrapper's own. settings: of subprocess.Popen."""
        wrapper = () if way == NATIVE else (*_PYTHON, "-m", "proxy", "wrap", *options, "--")
        return self.start_program([*wrapper, qemu_binary()], words, environment or {}, **settings)

    def start_program(
        self, program: Sequence[str], words: str, environment: Mapping[str, str], **settings: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program with QEMU's arguments."""
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*program, *self.machine, *words.split()],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            **streams | settings,
        )
        self._started.append(process)
        return process

    def install(self, name: str) -> Path:
        """Put the program of the proxy into a folder of its own, under another name; return its path."""
        program = self.path("hmp-proxy")
        program.write_text(_PROGRAM)
        program.chmod(0o755)
        self.path("bin").mkdir(exist_ok=True)
        link = self.path("bin") / name
        link.symlink_to(program)
        return link

    def processes(self) -> dict[int, list[str]]:
        """Return the words of each process that has come of a start and has not ended."""
        found = {pid: words_of(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        return {pid: words for pid, words in found.items() if str(self.path("idle.rom")) in words}

    def proxies(self, started: subprocess.Popen[bytes]) -> list[int]:
        """Return the processes that run the wrapper's program and are not the one that was started."""
        return [pid for pid, words in self.processes().items() if _is_of_python(words) and pid != started.pid]

    def qemus(self) -> list[int]:
        return [pid for pid, words in self.processes().items() if not _is_of_python(words)]

    def wait_gone(self) -> None:
        """Wait until nothing is left of a start."""
        until(lambda: not self.processes())

    def connect(self, name: str = "q", *, pretty: bool = False) -> RawClient:
        """Connect to a socket in the folder as soon as somebody listens there."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return RawClient.connect(self.path(name), pretty=pretty)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                assert time.monotonic() < deadline, [process.poll() for process in self._started]
            time.sleep(RETRY_S)

    def negotiated(self, name: str = "q") -> RawClient:
        """Return a client in command mode, of a QEMU that is ready."""
        return negotiated(self.connect(name))


def words_of(pid: int) -> list[str]:
    """Return the words of a process; none for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def children_of(pid: int) -> list[int]:
    """Return the children of a process, ended ones included."""
    found = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for children in found for child in children]


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for the end; return the status, and what came on standard output and standard error."""
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    return process.returncode, stdout.decode(), SLOW_CALLBACK.sub("", stderr.decode())


def _is_of_python(words: Sequence[str]) -> bool:
    """Tell the wrapper's program from QEMU. A Python of another release is started by that release's loader."""
    return any(os.path.basename(word).startswith("python") for word in words[:4])
