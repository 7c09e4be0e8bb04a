"""The README's picture of the report is taken from the page of today.

No two versions of a browser paint the same bytes, so the pictures are not compared. Each carries the words that it shows, and
those are held against the page.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from struct import unpack_from
from typing import Final

import pytest

from demo.report_picture import read_words, shown_words
from tests.support.checkout import ROOT

_PICTURE: Final = ROOT / "docs" / "hmp-audit.png"
# An empty page of this size takes a tenth of it.
_LEAST_BYTES: Final = 50_000
_MOST_BYTES: Final = 250_000


def _size(png: bytes) -> tuple[int, int]:
    """Return width and height (PNG, "11.2.1 IHDR Image header")."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = unpack_from(">II", png, 16)
    return width, height


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no browser: install Debian's package chromium")
def test_picture_is_taken_anew(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    done = subprocess.run(
        [sys.executable, "-m", "demo.report_picture", str(picture)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    taken = picture.read_bytes()
    assert read_words(taken) == shown_words()
    assert _size(taken) == _size(_PICTURE.read_bytes())
    assert _LEAST_BYTES < len(taken) < _MOST_BYTES


def test_picture_in_the_readme_shows_the_page_of_today() -> None:
    """If it fails after a change of the page: `./run picture`."""
    assert read_words(_PICTURE.read_bytes()) == shown_words()
    assert _LEAST_BYTES < _PICTURE.stat().st_size < _MOST_BYTES
    assert "(docs/hmp-audit.png)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_words_are_those_of_headline_and_tiles() -> None:
    words = shown_words().splitlines()
    assert words[0] == "Who still uses HMP"
    assert {"HMP commands", "Silent failures", "3,881"} <= set(words)
    assert "Use of HMP" not in words


def test_picture_without_words_is_told() -> None:
    plain = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000049454e44ae426082")
    with pytest.raises(ValueError, match="carries no words"):
        read_words(plain)


def test_no_browser_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.report_picture", str(tmp_path / "picture.png")],
        cwd=ROOT,
        env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "demo: there is no chromium; install Debian's package of that name\n")
