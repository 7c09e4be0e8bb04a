"""Play at random for some minutes: `./run soak MINUTES`."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.soak.oracle import Violation
from tests.soak.run import Soak, choose_seed

__all__ = ["main"]

_SECONDS_PER_MINUTE = 60


def main(args: Sequence[str] | None = None) -> int:
    """Run, and print what was played. Returns 1 if something was not as it must be; then the folder stays."""
    given = _parser().parse_args(args)
    seed = choose_seed() if given.seed is None else given.seed
    folder = Path(tempfile.mkdtemp(prefix="soak", dir="/tmp"))
    print(f"soak: {given.minutes:g} minutes, --seed {seed}, in {folder}", flush=True)
    soak = Soak(seed, folder, given.minutes * _SECONDS_PER_MINUTE)
    began = time.monotonic()
    try:
        soak.run()
    except Exception as exc:
        _print_figures(soak)
        if isinstance(exc, Violation):
            print(f"FAILED after {time.monotonic() - began:.0f} s, {exc}\n  seed: {seed}\n  folder: {folder}", file=sys.stderr)
        else:
            traceback.print_exc()
            print(f"FAILED after {time.monotonic() - began:.0f} s; seed: {seed}; folder: {folder}", file=sys.stderr)
        return 1
    _print_figures(soak)
    print(f"all as it must be, in {time.monotonic() - began:.0f} s")
    soak.scene.remove()
    shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./run soak",
        description="Let random clients and random faults play on several VMs, and compare what is there with what must be.",
        epilog="Without minutes, ./run soak counts what comes of single faults: ./run soak --help.",
    )
    parser.add_argument("minutes", type=float, help="how long")
    parser.add_argument(
        "--seed", help="repeat the choices of this one, as far as the machine's moments let it (default: another)"
    )
    return parser


def _print_figures(soak: Soak) -> None:
    for what, number in sorted(soak.play.tally.items()):
        print(f"{number:8,}  {what}")
    print(f"{sum(machine.hangs for machine in soak.scene.machines):8,}  ends of QEMU that it did not come to by itself")
    book = soak.play.book
    print(f"{book.records:8,}  records, {len(soak.play.answered):,} answered commands, {book.lost} records told as lost")
    if (figures := soak.figures) is not None:
        print(f"memory {figures.warm_kib:,} KiB after the warm-up, {figures.end_kib:,} KiB at the end;", end=" ")
        print(f"{len(figures.descriptors_before)} descriptors before, {len(figures.descriptors_after)} after")


if __name__ == "__main__":
    sys.exit(main())
