"""The real `hmp-proxy` in a process of its own, in front of a VM or of anything else, for integration tests."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S, RawClient, negotiated

__all__ = ["ProxyError", "ProxyProcess"]

_RETRY_S: Final = 0.005
_FROM_CHECKOUT: Final = (sys.executable, "-W", "error", "-m", "proxy")


class ProxyError(Exception):
    """The proxy did not start, or did not end in time."""


class ProxyProcess:
    """`hmp-proxy` with its socket at `<folder>/legacy.sock` and its audit log at `<folder>/audit.jsonl`.

    Leaving the context ends it by SIGTERM and raises ProxyError if it does not end well. upstream: a path, or another address;
    None where the options name a configuration file, which has that socket among others.
    """

    def __init__(
        self,
        folder: Path,
        upstream: str | None,
        options: Sequence[str] = (),
        *,
        pretty: bool = False,
        program: Sequence[str] = _FROM_CHECKOUT,
    ) -> None:
        self.path = str(folder / "legacy.sock")
        self.audit_path = folder / "audit.jsonl"
        self.stderr_path = folder / "proxy.stderr"
        self.pretty = pretty
        usual: list[str] = []
        if upstream is not None:
            address = f"unix:{upstream}" if upstream.startswith("/") else upstream
            usual = ["--upstream", address, "--listen", f"unix:{self.path}", "--audit", str(self.audit_path)]
        self._command = [*program, *usual, "--verbose", *options]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.stderr_path.open("ab") as stderr:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        try:
            self.connect().close()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        status = self.wait_gone()
        if error is None and (status or "Traceback" in self.stderr):
            raise ProxyError(f"hmp-proxy ended with status {status}: {self.stderr}")

    @property
    def peak_mib(self) -> float:
        """Return the most memory that it has had resident."""
        return self._memory_mib("VmHWM")

    @property
    def resident_mib(self) -> float:
        """Return how much memory it has resident now."""
        return self._memory_mib("VmRSS")

    def _memory_mib(self, name: str) -> float:
        """Return a figure of proc_pid_status(5)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    @property
    def records(self) -> list[dict[str, Any]]:
        """The audit records of commands so far, without what only tells that a client went on after a failure.

        One that is being written is not looked at. Where two processes write at once, one may take a record that is not whole
        yet for a torn one, and begin a new line behind it, so that an empty one is between them.
        """
        whole, _, _ = self.audit_path.read_text().rpartition("\n")
        return [record for record in map(json.loads, filter(None, whole.splitlines())) if record["action"] != "went_on"]

    def connect(self, path: str | None = None) -> RawClient:
        """Connect to the proxy's socket, waiting until it listens; not negotiated. path: that of another one."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                return RawClient.connect(path or self.path, pretty=self.pretty)
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process is None or self.process.poll() is not None:
                    raise ProxyError(f"hmp-proxy ended at once: {self.stderr}") from None
                if time.monotonic() > deadline:
                    raise ProxyError(f"hmp-proxy does not listen: {self.stderr}") from None
            time.sleep(_RETRY_S)

    def negotiated(self) -> RawClient:
        """Return a client in command mode."""
        return negotiated(self.connect())

    def wait_gone(self) -> int:
        """Wait for the proxy's end and give its exit status."""
        if self.process is None:
            raise ProxyError("hmp-proxy was not started")
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired as exc:
            self.kill()
            raise ProxyError(f"hmp-proxy does not end: {self.stderr}") from exc

    def kill(self) -> None:
        """End it at once, as an out-of-memory killer would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
