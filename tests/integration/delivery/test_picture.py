"""The README's picture is taken from the program at work; `python -m demo.prompt` leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from demo.prompt import playground
from demo.terminal import Terminal
from tests.support.checkout import ROOT

pytestmark = pytest.mark.needs_snapshot_jobs

_SVG: Final = "{http://www.w3.org/2000/svg}"
# What the picture is to show, in its order.
_SHOWN: Final = (
    *("savevm clean-install", "done", "before-update", "STATE ON", "loadvm clean-install", "takes d0: writable disk"),
    # The toolbar says what the command takes that is being typed.
    *("Load it? [y/N]", "yes", "delvm", "delvm tag -- "),
)


def _texts(picture: Path) -> str:
    return " ".join(element.text or "" for element in ElementTree.parse(picture).iter(f"{_SVG}text"))


def _assert_shows_all(text: str) -> None:
    at = 0
    for part in _SHOWN:
        at = text.index(part, at) + len(part)


def test_picture_is_taken_anew(tmp_path: Path) -> None:
    picture = tmp_path / "picture.svg"
    done = subprocess.run(
        [sys.executable, "-m", "demo.picture", str(picture)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    _assert_shows_all(_texts(picture))


def test_picture_in_the_readme_shows_the_same() -> None:
    _assert_shows_all(_texts(ROOT / "docs" / "hmp-repl.svg"))
    assert "(docs/hmp-repl.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_prompt_to_play_with_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path.parent / "t"  # a socket's path is short
    folder.mkdir(exist_ok=True)
    environment = {"TERM": "xterm-256color", "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with Terminal([sys.executable, "-m", "demo.prompt"], columns=80, rows=24, environment=environment) as terminal:
        terminal.wait_for("Try: savevm t1")
        terminal.wait_for("0 snapshots")
        terminal.press("savevm t1\r")
        terminal.wait_for("1 snapshot")
        terminal.press("\x04")
        assert terminal.process.wait(20) == 0
    assert os.listdir(folder) == []


def test_playground_is_gone_with_its_context() -> None:
    with playground() as vm:
        folder = vm.qmp_path.parent
        assert folder.exists()
    assert not folder.exists()
