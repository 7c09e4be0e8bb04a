"""What savevms are about to do, in one small file per VM, for the proxy or prompt that follows one that was killed.

The file also keeps the token by which a VM's successive proxies recognize their own jobs.
"""

import fcntl
import json
import logging
import os
import re
import sys
import time
from binascii import crc32
from collections.abc import Callable, Mapping
from pathlib import Path

from host.net.addresses import Address, DescriptorAddress
from shim.plans.intent import Intent
from shim.plans.plan import Intend, Settle
from shim.plans.recovery import Written
from shim.qmp import JSON

__all__ = ["IntentStore", "intents_of", "state_folder"]

_log = logging.getLogger(__name__)

_TOKEN_BYTES = 8
_TOKEN = re.compile(r"[0-9a-f]{16}")
_NAME_CHARS = 100


def state_folder() -> Path:
    """Return where the programs keep what outlives them: systemd.exec(5), StateDirectory=, else the XDG base directories."""
    own = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "hmpshim"


class IntentStore:
    """Keep the intents of one VM.

    address: QEMU's. folder: None keeps everything in memory only. If the file cannot be written, that is logged once; what it
    would have held is still known to this process. is_shared: several programs may use this address at a time, and few of them
    write anything. The file is created with the first intent, and belongs to the program that locks it; the others keep theirs
    in memory.
    """

    def __init__(
        self, address: str, folder: Path | None, *, now_s: Callable[[], float] = time.time, is_shared: bool = False
    ) -> None:
        self._address = address
        # Interned, so that all VMs share one string.
        self._folder = None if folder is None else sys.intern(str(folder))
        self._now_s = now_s
        self._has_complained = False
        self._intents: list[tuple[float, Intent]] = []
        self._must_lock = is_shared
        self._lock_fd: int | None = None
        if is_shared and (self._path is None or not self._path.exists() or not self._lock()):
            self.token = os.urandom(_TOKEN_BYTES).hex()
            return
        token = self._read()
        self.token = token or os.urandom(_TOKEN_BYTES).hex()
        if token is None:
            self._write()

    @property
    def _path(self) -> Path | None:
        """The file's path, computed each time: keeping it costs more than making it."""
        return None if self._folder is None else Path(self._folder, _file_name(self._address))

    def close(self) -> None:
        """Close the lock file, which unlocks it."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def written(self) -> list[Written]:
        """Return the intents that are not settled, oldest first."""
        now_s = self._now_s()
        return [Written(intent, max(0.0, now_s - at_s)) for at_s, intent in self._intents]

    def to_members(self) -> dict[str, JSON]:
        """Return everything that is kept, as JSON."""
        intents = [{"time": at_s, **intent.to_members()} for at_s, intent in self._intents]
        return {"address": self._address, "token": self.token, "intents": intents}

    def take_up(self, members: Mapping[str, JSON]) -> None:
        """Keep what another process has kept (`to_members`). Raises KeyError, TypeError or ValueError for anything else."""
        self._intents = [(float(one["time"]), Intent.from_members(one)) for one in members["intents"]]
        self.token = str(members["token"])

    def note(self, step: Intend | Settle) -> None:
        """Write an intent down, or forget it. When this returns, an intent is on disk."""
        self.keep(step)
        self.save(step)

    def keep(self, step: Intend | Settle) -> None:
        """Note an intent in memory, or forget it there; this does not block."""
        if isinstance(step, Intend):
            self._intents.append((self._now_s(), step.intent))
        else:
            self._intents = [(at_s, intent) for at_s, intent in self._intents if intent != step.intent]

    def save(self, step: Intend | Settle) -> None:
        """Write what is kept, because of this step. May run on another thread than `keep`, one call at a time."""
        # Only an intent needs to be on disk: a settled one that reappears after a power cut is found to be done.
        self._write(sync=isinstance(step, Intend))

    def _lock(self) -> bool:
        """Lock the file for this process. If it is another's, or cannot be locked, keep everything in memory."""
        assert self._path is not None
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock_fd = os.open(self._path.with_suffix(".lock"), flags, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            self._folder = None
            return False
        self._must_lock = False
        return True

    def _read(self) -> str | None:
        """Read what an earlier process left. A file of another VM, or a damaged one, counts as none."""
        if self._path is None:
            return None
        try:
            content = json.loads(self._path.read_bytes())
            if content["address"] != self._address or not _TOKEN.fullmatch(content["token"]):
                return None
            self._intents = [(float(one["time"]), Intent.from_members(one)) for one in content["intents"]]
            token: str = content["token"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
            _log.warning("%s cannot be read, so jobs and savevms of an earlier proxy are not known: %s", self._path, exc)
            return None
        return token

    def _write(self, *, sync: bool = False) -> None:
        if self._path is None or (self._must_lock and not self._lock()):
            return
        content = json.dumps(self.to_members())
        try:
            _replace(self._path, content.encode("ascii"), sync=sync)
        except OSError as exc:
            if not self._has_complained:
                self._has_complained = True
                told = "%s cannot be written (%s): if this proxy is killed during a savevm, the next one cannot complete it"
                _log.warning(told, self._path, exc.strerror or exc)


def intents_of(address: Address) -> IntentStore:
    """Return the store for the proxy of the VM at an address.

    It is a file, unless the address does not identify a VM: the number of an inherited connection.
    """
    return IntentStore(str(address), None if isinstance(address, DescriptorAddress) else state_folder())


def _file_name(address: str) -> str:
    """Return a file name for an address: readable, and unique by a checksum."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", address)[-_NAME_CHARS:]
    return f"{readable}-{crc32(address.encode(errors='surrogateescape')):08x}.json"


def _replace(path: Path, content: bytes, *, sync: bool) -> None:
    """Write a file atomically, readable by its owner alone, since it contains tags. sync: it is on disk afterwards."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(draft, path)
