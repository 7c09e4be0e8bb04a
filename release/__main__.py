"""`python -m release [FOLDER]`: make the wheel, hmpshim.pyz, manual pages and completion files."""

import argparse
import sys
import tempfile
from pathlib import Path

from release.build import ROOT, copy_checkout, make_pyz, make_wheel
from release.share import write_share


def main() -> int:
    """Make everything, and print where it is."""
    parser = argparse.ArgumentParser(
        prog="./run package",
        description="Make the wheel, hmpshim.pyz, and below share what the wheel has too: manual pages and completion files.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where to put them (default: dist)")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "hmpshim.pyz"
    with tempfile.TemporaryDirectory(prefix="hmpshim-") as stage:
        copy_checkout(Path(stage, "checkout"))
        write_share(Path(stage, "checkout"))
        wheel = make_wheel(Path(stage, "checkout"), folder)
        make_pyz(wheel, Path(stage, "pyz"), program)
    write_share(folder)
    print(wheel, program, folder / "share", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
