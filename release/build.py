"""The wheel, and hmpshim.pyz: one file with all three programs and their libraries, which needs only Python.

Both are made from a copy of the checkout, so that nothing from an earlier build is packed, and nothing is left in the checkout.
The libraries in hmpshim.pyz are those of this environment, so no package index is needed.
"""

import compileall
import shutil
import subprocess
import sys
import zipapp
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

__all__ = ["PACKAGES", "ROOT", "copy_checkout", "make_pyz", "make_wheel"]

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("hmpshim", "shim", "host", "proxy", "repl", "audit")
_OTHER_FILES: Final = ("pyproject.toml", "README.md", "LICENSE")
# With their own dependencies. Their licences are among the files of their distributions.
_LIBRARIES: Final = ("qemu.qmp", "prompt_toolkit", "wcwidth")

_MAIN: Final = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("hmpshim.pyz needs Python 3.11 or newer")

from hmpshim.__main__ import main

sys.exit(main())
"""


def copy_checkout(target: Path) -> None:
    """Copy what a distribution is made from into a new folder."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _OTHER_FILES:
        shutil.copy(ROOT / name, target)


def make_wheel(checkout: Path, folder: Path) -> Path:
    """Make the wheel from a copied checkout, and return its path. folder: where to put it; it may contain other files.

    Raises CalledProcessError.
    """
    built = checkout / "built"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(checkout)], check=True)
    (wheel,) = built.iterdir()
    return Path(shutil.copy(wheel, folder))


def make_pyz(wheel: Path, stage: Path, path: Path) -> None:
    """Make hmpshim.pyz at `path`. stage: a folder to create, for its parts."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(stage)
    # Nothing would find manual pages and the like in an archive.
    for data in stage.glob("*.data"):
        shutil.rmtree(data)
    # hmpshim/__init__.py looks for a folder, which an archive does not have, so they go to its top level, as in a checkout.
    for package in (stage / "hmpshim" / "programs").iterdir():
        package.rename(stage / package.name)
    for name in _LIBRARIES:
        _copy_library(name, stage)
    # Python does not write compiled modules into an archive. These are for this version; other versions compile at each start.
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(stage, quiet=1, legacy=True, stripdir=stage, invalidation_mode=unchecked)
    (stage / "__main__.py").write_text(_MAIN, encoding="ascii")
    zipapp.create_archive(stage, path, interpreter="/usr/bin/env python3", compressed=True)
    path.chmod(path.stat().st_mode | 0o111)


def _copy_library(name: str, stage: Path) -> None:
    for file in distribution(name).files or ():
        # Its commands are outside site-packages.
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = stage / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)
