"""Count what comes of faults at random moments: `./run soak --help`.

Each row runs many times with moments that the seed chooses, through the proxy and, for comparison, on QEMU itself.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.integration.faults.rows import BAD, ROWS, Row, Verdict, prepare, run
from tests.integration.faults.stage import Firmware, template
from tests.integration.qemu_vm import QEMUVM, version

__all__ = ["main"]

_DEFAULT_RUNS: Final = 20
_NAME_WIDTH: Final = max(len(row.name) for row in ROWS)


def main(args: Sequence[str] | None = None) -> int:
    """Run the rows and print a table. Returns 1 if anything was lost or wrong through the proxy."""
    given = _parser().parse_args(args)
    rows = [row for row in ROWS if re.search(given.rows, row.name)]
    if not rows:
        print(f"soak: no row matches {given.rows!r}", file=sys.stderr)
        return 2
    with QEMUVM() as vm:
        print(f"QEMU {version(vm)}, {given.runs} runs a row, --seed {given.seed}")
    for firmware in Firmware:
        template(firmware)
    print(f"{'command: fault':{_NAME_WIDTH}}  {'through the proxy':60}  natively", flush=True)
    bad: list[str] = []
    for row in rows:
        began = time.monotonic()
        prepare(row)
        counts, wrong = _counted(row, given.runs, given.seed, given.workers, natively=False)
        native = ""
        if given.natively and row.is_serial:
            native = _spelled(_counted(row, given.runs, given.seed, given.workers, natively=True)[0])
        print(f"{row.name:{_NAME_WIDTH}}  {_spelled(counts):60}  {native}  ({time.monotonic() - began:.0f} s)", flush=True)
        bad += wrong
    for line in bad:
        print(line, file=sys.stderr)
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run soak",
        description="Count what comes of faults at random moments.",
        epilog="With minutes first, random clients and faults play together: ./run soak 1 --help.",
    )
    parser.add_argument("--runs", type=int, default=_DEFAULT_RUNS, help="runs of each row (default: %(default)s)")
    parser.add_argument("--seed", default=str(int(time.time())), help="what chooses the moments (default: the time)")
    parser.add_argument("--rows", default="", metavar="REGEX", help="only the rows whose name it is found in")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="runs at a time (default: one a processor)")
    parser.add_argument("--natively", action="store_true", help="run what QEMU itself can do on QEMU itself, too")
    return parser


def _counted(row: Row, runs: int, seed: str, workers: int, *, natively: bool) -> tuple[Counter[Verdict], list[str]]:
    """Run a row, and give its counts and what was wrong."""
    seeds = [f"{seed} {row.name} {number}" for number in range(runs)]
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda one: run(row, one, natively=natively), seeds))
    wrong = [f"{one}: {verdict.value} {what}" for one, (verdict, what) in zip(seeds, found, strict=True) if verdict in BAD]
    return Counter(verdict for verdict, _ in found), wrong


def _spelled(counts: Counter[Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])


if __name__ == "__main__":
    # What the programs keep for their next run goes with this one.
    with tempfile.TemporaryDirectory(prefix="hmpshim-state-") as state:
        os.environ["STATE_DIRECTORY"] = state
        sys.exit(main())
