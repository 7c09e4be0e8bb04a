"""The real `hmp-repl` as a process without a terminal, as a script calls it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

__all__ = ["Ended", "repl", "start_repl"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. out: standard output's bytes; err: standard error."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


def _command(arguments: tuple[str | bytes, ...]) -> list[str | bytes]:
    return [sys.executable, "-W", "error", "-m", "repl", *arguments]


def repl(*arguments: str | bytes, stdin: bytes | int | IO[Any] = b"", **environment: str) -> Ended:
    """Run it until it ends. stdin: what it reads, or where it reads."""
    source: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    ended = subprocess.run(
        _command(arguments), cwd=ROOT, capture_output=True, timeout=DEADLINE_S, env={**os.environ, **environment}, **source
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode())


@contextmanager
def start_repl(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start it with pipes, or what the options of Popen say; kill it at the end if it still runs."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(_command(arguments), cwd=ROOT, **{**pipes, **options}) as process:
        try:
            yield process
        finally:
            process.kill()
