"""The wheel, and hmpshim.pyz: one file with all three programs and their libraries, which needs nothing but Python.

Both are made of a copy of the checkout, so what an earlier build left there is not packed, and nothing is left there. The
libraries of hmpshim.pyz are those of this environment, so no index is asked for anything.
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
# With what they need themselves. Their licences are among the files of their distributions.
_LIBRARIES: Final = ("qemu.qmp", "prompt_toolkit", "wcwidth")

_MAIN: Final = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("hmpshim.pyz needs Python 3.11 or newer")

from hmpshim.__main__ import main

sys.exit(main())
"""


def copy_checkout(target: Path) -> None:
    """Copy what a distribution is made of into a new folder."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _OTHER_FILES:
        shutil.copy(ROOT / name, target)


def make_wheel(checkout: Path, folder: Path) -> Path:
    """Make the wheel of a copied checkout and return where it is: in the folder, which may hold other files.

    Raises CalledProcessError.
    """
    built = checkout / "built"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(checkout)], check=True)
    (wheel,) = built.iterdir()
    return Path(shutil.copy(wheel, folder))


def make_pyz(wheel: Path, stage: Path, path: Path) -> None:
    """Make the file at `path`. stage: a folder to be made, for its parts."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(stage)
    # Manual pages and the like are found nowhere in an archive.
    for data in stage.glob("*.data"):
        shutil.rmtree(data)
    # hmpshim/__init__.py looks for a folder, and an archive has none; so they stand at its top, as in a checkout.
    for package in (stage / "hmpshim" / "programs").iterdir():
        package.rename(stage / package.name)
    for name in _LIBRARIES:
        _copy_library(name, stage)
    # Python does not write compiled modules into an archive. These are for this version of it; another one compiles each time.
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(stage, quiet=1, legacy=True, stripdir=stage, invalidation_mode=unchecked)
    (stage / "__main__.py").write_text(_MAIN, encoding="ascii")
    zipapp.create_archive(stage, path, interpreter="/usr/bin/env python3", compressed=True)
    path.chmod(path.stat().st_mode | 0o111)


def _copy_library(name: str, stage: Path) -> None:
    for file in distribution(name).files or ():
        # Its commands lie outside of site-packages.
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = stage / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)
