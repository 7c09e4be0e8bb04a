"""A libvirtd of a user's own, with all that is its in one folder, for tests of domains.

It is libvirt's session mode: it needs no root, no systemd and no control groups, and it knows nothing of the machine's own
libvirt, whose domains nobody sees or touches. A libvirtd that root starts is always the machine's, so root starts it as
somebody else.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.integration.permissions.other_user import NOBODY
from tests.integration.waiting import until
from tests.support.checkout import ROOT

__all__ = ["LibvirtHost", "NoLibvirtError", "VirshError", "libvirt_host"]

# Without a virtlogd, which would be started for the session and stay. QEMU is neither confined nor watched.
_QEMU_CONF: Final = 'stdio_handler = "file"\nsecurity_driver = "none"\n'
# As Debian installs it; not every user has this folder in the path.
_LIBVIRTD: Final = "/usr/sbin/libvirtd"


class NoLibvirtError(Exception):
    """libvirt is not installed, or cannot run here; the text says why."""


class VirshError(Exception):
    """virsh failed; the text is what it said."""


class LibvirtHost:
    """A running libvirtd and its folder, which belongs to its user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Root's own libvirtd would be the machine's.
        self._user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        folders = {"XDG_RUNTIME_DIR": "run", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data"}
        # virsh would start a libvirtd of its own if it finds none.
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", "LIBVIRT_AUTOSTART": "0"}
        self._environment |= {variable: str(folder / name) for variable, name in folders.items()}
        self.give(folder)
        for name in (*folders.values(), "config/libvirt"):
            self.give((folder / name), make=True)
        (folder / "config/libvirt/qemu.conf").write_text(_QEMU_CONF)
        self.pid: int | None = None
        with (folder / "libvirtd.stderr").open("ab") as stderr:
            self._reaper = subprocess.Popen(
                [sys.executable, ROOT / "tests/integration/wrapping/reaper.py", _LIBVIRTD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                **self._as_user,
            )

    def give(self, path: Path, *, make: bool = False) -> Path:
        """Have a file belong to the user; make: a folder that is not there yet."""
        if make:
            path.mkdir(mode=0o700)
        if self._user:
            os.chown(path, NOBODY, NOBODY)
        return path

    def start(self) -> None:
        """Start libvirtd and wait until it serves; NoLibvirtError if it ends instead."""
        assert self._reaper.stdin is not None
        assert self._reaper.stdout is not None
        with suppress(BrokenPipeError):
            self._reaper.stdin.write(b"\n")
            self._reaper.stdin.flush()
        said = self._reaper.stdout.readline()
        self.pid = int(said) if said else None
        until(lambda: self._serves or not self._is_alive)
        if not self._is_alive:
            raise NoLibvirtError(f"libvirtd cannot run here: {self.stderr}")

    @property
    def _serves(self) -> bool:
        try:
            self.virsh("version")
        except VirshError:
            return False
        return True

    @property
    def _is_alive(self) -> bool:
        return self.pid is not None and Path(f"/proc/{self.pid}").exists()

    def stop(self) -> None:
        """End libvirtd; its domains go on."""
        if self.pid is not None and self._is_alive:
            os.kill(self.pid, signal.SIGTERM)
            until(lambda: not self._is_alive)

    def close(self) -> None:
        """End libvirtd, and what still runs for a domain."""
        self.stop()
        for pid in self.processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes)
        self._reaper.communicate()

    def virsh(self, *words: str) -> str:
        """Run a command of virsh and return what it prints; VirshError if it fails."""
        command = ["virsh", "--quiet", "--connect", "qemu:///session", *words]
        ended: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, **self._as_user
        )
        if ended.returncode:
            raise VirshError(ended.stderr.strip())
        return ended.stdout.strip()

    @property
    def version(self) -> tuple[int, ...]:
        said = self.virsh("version", "--daemon")
        return tuple(int(number) for number in said.rpartition("daemon: ")[2].split("."))

    @property
    def stderr(self) -> str:
        """What libvirtd has complained of so far."""
        return (self.folder / "libvirtd.stderr").read_text(errors="replace")

    @property
    def processes(self) -> dict[int, str]:
        """What runs for a domain, with its words: all that has the folder in its words or its environment, but for libvirtd."""
        own = (self.pid, self._reaper.pid)
        return {pid: words for pid, words in _processes_with(str(self.folder)) if pid not in own}

    @property
    def sockets(self) -> list[str]:
        """The paths of the unix sockets in the folder, but libvirtd's own."""
        sockets = (path for path in self.folder.rglob("*") if path.is_socket())
        return sorted(str(path.relative_to(self.folder)) for path in sockets if path.parent != self.folder / "run/libvirt")

    @property
    def _as_user(self) -> dict[str, Any]:
        return {"env": self._environment, "cwd": "/", **self._user}


def _processes_with(text: str) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it has ended, or it is another user's
            if entry.name.isdecimal() and any(
                text in (entry / name).read_text(errors="replace") for name in ("cmdline", "environ")
            ):
                yield int(entry.name), (entry / "cmdline").read_text(errors="replace").replace("\0", " ")


@contextmanager
def libvirt_host() -> Iterator[LibvirtHost]:
    """Start a libvirtd; nothing of it or of its domains is left in the end. Raises NoLibvirtError."""
    for program in (_LIBVIRTD, "virsh"):
        if shutil.which(program) is None:
            raise NoLibvirtError(f"{program} is not installed")
    # Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path.
    folder = Path(tempfile.mkdtemp(prefix="v", dir="/tmp"))
    try:
        host = LibvirtHost(folder)
        try:
            host.start()
            yield host
        finally:
            host.close()
    finally:
        shutil.rmtree(folder)
