"""Fuzz one target with atheris: `./run fuzz --help`."""

import argparse
import hashlib
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.corpus import CORPUS, kept
from tests.fuzz.reach import Reach

__all__ = ["main"]

# What grows in a run, and what it finds; of no interest to git.
_WORKPLACE: Final = Path(".fuzz")
_MOST_BYTES: Final = 8192
# An input that takes longer is a failure: a hang, or work that grows faster than the input.
_MOST_S: Final = 10
_DEFAULT_S: Final = 60
# libFuzzer's exit status where SIGINT has ended it; it has told what it did by then.
_INTERRUPTED: Final = 72
_EXECUTED: Final = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")


def main(args: Sequence[str] | None = None) -> int:
    """Fuzz, and say how much was tried and reached. Returns 1 if an input failed."""
    given = _parser().parse_args(args)
    grown, found = _WORKPLACE / given.target, _WORKPLACE / "found" / given.target
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={given.seconds}", f"-runs={given.runs}", f"-artifact_prefix={found}/", f"-timeout={_MOST_S}"]
    options += [f"-max_len={_MOST_BYTES}", "-print_final_stats=1", *([f"-seed={given.seed}"] if given.seed else [])]
    began = time.monotonic()
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C ends the run below, which then tells what it did
    status, executed = _fuzz(given.target, [*options, str(grown), str(CORPUS / given.target)])
    has_failed = status not in (0, _INTERRUPTED)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    inputs = [path.read_bytes() for path in sorted(grown.iterdir())]
    if given.keep:
        _keep(given.target, inputs)
    reach = Reach(given.target)
    reach.play([*kept(given.target).values(), *inputs])
    reached = reach.percent(sys.stdout)
    print(
        f"{given.target}: {executed:,} executions in {time.monotonic() - began:.0f} s,"
        f" {(usage.ru_utime + usage.ru_stime) / 60:.1f} CPU minutes; {reached:.1f} % of the lines and branches reached;"
        f" {'an input failed: see above' if has_failed else 'none failed'}"
    )
    return 1 if has_failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run fuzz", description="Fuzz one target, guided by coverage, with atheris.")
    parser.add_argument("target", choices=sorted(path.name for path in CORPUS.iterdir()))
    parser.add_argument("seconds", type=int, nargs="?", default=_DEFAULT_S, help="how long (default: %(default)s; 0: no limit)")
    parser.add_argument("--runs", type=int, default=-1, metavar="N", help="end after so many executions")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="repeat what this one chose (default: another)")
    parser.add_argument("--keep", action="store_true", help="put what reaches more than the corpus does into the corpus")
    return parser


def _fuzz(target: str, arguments: Sequence[str]) -> tuple[int, int]:
    """Run atheris in a process of its own, which it ends as it likes. Returns its exit status, and the executions."""
    command = [sys.executable, "-m", "tests.fuzz.under_atheris", target, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        executed = 0
        for line in process.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            if (stat := _EXECUTED.match(line)) is not None:
                executed = int(stat[1])
    return process.returncode, executed


def _keep(target: str, inputs: Sequence[bytes]) -> None:
    """Put what adds something into the corpus, under its sum."""
    reach = Reach(target)
    reach.play(kept(target).values())
    for data in reach.adding(inputs):
        (CORPUS / target / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
