"""The colours: the terminal's own, none of a background, and each class that is used has a look."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from prompt_toolkit.styles import ANSI_COLOR_NAMES, default_ui_style, merge_styles
from prompt_toolkit.styles.defaults import PROMPT_TOOLKIT_STYLE

from repl.prompt.editor.style import COLORED, STYLE, style_with
from tests.support.checkout import ROOT

REPL: Final = ROOT / "repl"
OURS: Final = dict(STYLE.style_rules)
KNOWN: Final = {name for name, _ in PROMPT_TOOLKIT_STYLE} | set(OURS)
# What it looks like beside prompt_toolkit's own, as in an application.
LOOK: Final = merge_styles([default_ui_style(), STYLE])
# Of widgets that the prompt has not: line numbers, columns, a toolbar or several columns of completions, fuzzy ones.
NOT_SHOWN: Final = {
    name
    for name, _ in PROMPT_TOOLKIT_STYLE
    if re.match(r"cursor-column|color-column|line-number|tilde|completion-toolbar|readline-like|nbsp", name)
    or re.search(r"fuzzymatch|multi-column", name)
}
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
    words = [word.removeprefix("fg:") for word in OURS[name].split()]
    assert {word for word in words if word.startswith("bg:")} <= {"bg:default"}
    looks = {*("bold", "underline", "reverse", "noreverse", "italic", "noinherit"), *("noitalic", "nounderline", "noblink")}
    assert [word for word in words if word not in looks | {"bg:default", "default"} and word not in ANSI_COLOR_NAMES] == []


@pytest.mark.parametrize("name", sorted({name for name, _ in PROMPT_TOOLKIT_STYLE} - NOT_SHOWN))
def test_no_colour_of_prompt_toolkits_own_is_shown(name: str) -> None:
    """A terminal's owner knows nothing of them, and they may be unreadable on his background."""
    classes = ["completion-menu"] * name.startswith("completion-menu") + [name]
    attributes = LOOK.get_attrs_for_style_str(" ".join(f"class:{one}" for one in classes))
    assert {attributes.color, attributes.bgcolor} <= {"", "default", *ANSI_COLOR_NAMES}


@pytest.mark.parametrize("name", COLORED)
def test_each_name_can_have_another_colour(name: str) -> None:
    style = style_with({name: "ansiblue bg:ansiwhite"})
    shown = {look for _, look in style.style_rules if "ansiblue" in look.split()} - {look for _, look in STYLE.style_rules}
    assert shown


def test_menu_is_another_colour_in_all_its_parts() -> None:
    rules = dict(style_with({"menu": "ansiblue", "menu-current": "ansired"}).style_rules)
    assert rules["completion-menu"].split()[-1] == rules["completion-menu.meta.completion"].split()[-1] == "ansiblue"
    assert rules["completion-menu.completion.current"].split()[-1] == "ansired"


def test_what_must_be_seen_is_more_than_a_colour() -> None:
    """Where there are no colours (NO_COLOR), a fault's place and the prompt are still seen."""
    for name in ("prompt", "fault", "tag", "toolbar.stopped"):
        assert {"bold", "underline", "reverse"} & set(OURS[name].split()), name
