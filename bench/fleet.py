"""All processes and files of a run: they are started here, and gone when `close` returns."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.errors import BenchError
from bench.interrupt import Interrupts
from demo.vm import is_listening
from tests.integration.qemu_vm import QEMUVM

__all__ = ["ROOT", "Fleet"]

ROOT: Final = Path(__file__).parents[1]
_TMPFS: Final = Path("/dev/shm")
# Generous: the slowest single measurement takes seconds.
_DEADLINE_S: Final = 120.0
_START_DEADLINE_S: Final = 20.0
_RETRY_S: Final = 0.001
_STDERR_BYTES: Final = 64 * 1024


class Fleet:
    """Starts processes in process groups of their own, and keeps files in `folder`, on tmpfs if there is one.

    Call `close` at the end; a second call does nothing.
    """

    def __init__(self, interrupts: Interrupts, proxy_options: Sequence[str] = ()) -> None:
        self._interrupts = interrupts
        self.proxy_options = proxy_options
        # Each process, with the descriptor of the file that has its standard error.
        self._children: dict[subprocess.Popen[str], int] = {}
        self._vms: list[QEMUVM] = []
        self._folders: list[Path] = []
        self.folder = self._make_folder(_TMPFS if os.access(_TMPFS, os.W_OK) else None)
        # An installed package is compiled. Without this, a checkout that Python must not write to would be compiled at each
        # start.
        self._environment = os.environ | {"PYTHONPYCACHEPREFIX": str(self.folder / "compiled")}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def folder_with_room(self, size_bytes: int) -> Path:
        """Return a folder for a file of this size: `folder`, or one on a disk. Raises BenchError if there is no room."""
        if shutil.disk_usage(self.folder).free > size_bytes:
            return self.folder
        folder = self._make_folder(None)
        if shutil.disk_usage(folder).free > size_bytes:
            return folder
        raise BenchError(f"there is no room for {size_bytes >> 20} MiB in {tempfile.gettempdir()}; TMPDIR names another place")

    def start(
        self, command: Sequence[str], *, terminal: int | None = None, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        """Start a process that runs until `stop` or `close`.

        Its standard output can be read, unless a terminal is given as its standard input and output. environment: additional
        variables.
        """
        ends = (subprocess.DEVNULL, subprocess.PIPE) if terminal is None else (terminal, terminal)
        with self._interrupts.deferred(), tempfile.TemporaryFile(dir=self.folder) as stderr:
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environment, **environment},
                stdin=ends[0],
                stdout=ends[1],
                stderr=stderr,
                text=True,
                process_group=0,
            )
            self._children[child] = os.dup(stderr.fileno())
        return child

    def output(self, command: Sequence[str]) -> str:
        """Run a process to its end, and return its standard output. Raises BenchError if it fails or takes too long."""
        child = self.start(command)
        try:
            text, _ = child.communicate(timeout=_DEADLINE_S)
        except subprocess.TimeoutExpired as exc:
            raise BenchError(f"no end after {_DEADLINE_S:g} s: {' '.join(command)}") from exc
        if child.returncode:
            raise BenchError(f"status {child.returncode} from: {' '.join(command)}{self._last_words(child)}")
        with self._interrupts.deferred():
            self._end(child)
        return text

    def stop(self, child: subprocess.Popen[str]) -> None:
        """Kill a process and everything that it started."""
        with self._interrupts.deferred():
            self._end(child)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Kill what was started within the context when it ends."""
        before = set(self._children)
        yield
        for child in set(self._children) - before:
            self.stop(child)

    @contextmanager
    def running(self, vm: QEMUVM) -> Iterator[QEMUVM]:
        """Run a VM until the context ends."""
        with self._interrupts.deferred():
            self._vms.append(vm)
            vm.start()
        yield vm
        with self._interrupts.deferred():
            vm.close()

    def wait_listening(self, path: str, child: subprocess.Popen[str]) -> None:
        """Wait until a process listens at `path`, without connecting: a first connection changes what a second one costs.

        Raises BenchError if the process ends or takes too long.
        """
        deadline = time.monotonic() + _START_DEADLINE_S
        while not is_listening(Path(path)):
            if child.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"nobody listens at {path}{self._last_words(child)}")
            time.sleep(_RETRY_S)

    def close(self) -> None:
        """Kill all processes, and remove all files."""
        for child in list(self._children):
            self._end(child)
        for vm in self._vms:
            vm.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_folder(self, place: Path | None) -> Path:
        with self._interrupts.deferred():
            self._folders.append(Path(tempfile.mkdtemp(prefix=f"hmpshim-bench-{os.getpid()}-", dir=place)))
        return self._folders[-1]

    def _end(self, child: subprocess.Popen[str]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
        os.close(self._children.pop(child))

    def _last_words(self, child: subprocess.Popen[str]) -> str:
        said = os.pread(self._children[child], _STDERR_BYTES, 0).decode(errors="replace").splitlines()
        return f": {said[-1]}" if said else ""
