"""The colours: none of a background, and each class that is used has a look."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from prompt_toolkit.styles import ANSI_COLOR_NAMES
from prompt_toolkit.styles.defaults import PROMPT_TOOLKIT_STYLE

from repl.prompt.style import STYLE
from tests.support.checkout import ROOT

REPL: Final = ROOT / "repl"
OURS: Final = dict(STYLE.style_rules)
KNOWN: Final = {name for name, _ in PROMPT_TOOLKIT_STYLE} | set(OURS)
# The JSON tokens' classes are made of the names of groups (repl/output/show.py).
MADE: Final = {f"json.{token}" for token in ("key", "string", "number", "constant")}


def strings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def used_in(path: Path) -> set[str]:
    whole = (text for text in strings(path) if not text.endswith("."))
    return {name for text in whole for name in re.findall(r"class:([a-z][\w.-]*\w)", text)}


@pytest.mark.parametrize("path", sorted(REPL.rglob("*.py")), ids=lambda path: path.stem)
def test_each_class_has_a_look(path: Path) -> None:
    assert used_in(path) - KNOWN == set()


def test_made_classes_have_a_look() -> None:
    assert MADE <= KNOWN


def test_no_look_is_for_nothing() -> None:
    used = {name for path in REPL.rglob("*.py") for name in used_in(path)} | MADE | {name for name, _ in PROMPT_TOOLKIT_STYLE}
    assert set(OURS) - used == set()


@pytest.mark.parametrize("name", OURS)
def test_no_background_and_only_the_terminals_own_colours(name: str) -> None:
    words = OURS[name].split()
    assert [word for word in words if word.startswith("bg:")] == []
    looks = {"bold", "underline", "reverse", "noreverse", "italic", "noinherit"}
    assert [word for word in words if word not in looks and word not in ANSI_COLOR_NAMES] == []


def test_what_must_be_seen_is_more_than_a_colour() -> None:
    """Where there are no colours (NO_COLOR), a fault's place and the prompt are still seen."""
    for name in ("prompt", "fault", "tag", "toolbar.stopped"):
        assert {"bold", "underline", "reverse"} & set(OURS[name].split()), name
