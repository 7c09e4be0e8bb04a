"""`python -m release [FOLDER]`: make the wheel and hmpshim.pyz."""

import argparse
import sys
import tempfile
from pathlib import Path

from release.build import ROOT, copy_checkout, make_pyz, make_wheel


def main() -> int:
    """Make both, and print where they are."""
    parser = argparse.ArgumentParser(prog="./run package", description="Make the wheel, and hmpshim.pyz.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where to put them (default: dist)")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "hmpshim.pyz"
    with tempfile.TemporaryDirectory(prefix="hmpshim-") as stage:
        copy_checkout(Path(stage, "checkout"))
        wheel = make_wheel(Path(stage, "checkout"), folder)
        make_pyz(wheel, Path(stage, "pyz"), program)
    print(wheel, program, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
