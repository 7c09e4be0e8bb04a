"""repl.toml: what it says, and each mistake with its line and key."""

import re
from pathlib import Path

import pytest

from repl.prompt.editor.style import COLORED, STYLE, style_with
from repl.settings.reading import read_settings
from repl.settings.values import Editing, Enter, Insert, KeyBinding, Perform, Question, Settings
from tests.support.checkout import ROOT


def read(folder: Path, text: str) -> Settings:
    path = folder / "repl.toml"
    path.write_text(text)
    return read_settings(path, names=COLORED)


def mistakes(folder: Path, text: str) -> list[str]:
    """Return the mistakes without the path before them."""
    return [mistake.removeprefix(f"{folder}/repl.toml:") for mistake in read(folder, text).mistakes]


WHOLE = """\
editing = "vi"
pager = "less -R"
ask = ["load", "quit"]

[keys]
f5 = {enter = "info status"}
"c-x s" = {insert = "savevm "}
m-u = "undo"
f4 = "nothing"

[colors]
notice = "brightblue bold"
menu = "ansiwhite bg:blue"
error = ""
event-time = "cyan"
json-key = "default"

[aliases]
s = "savevm"
snaps = " info snapshots "
"""


def test_whole_file(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE) == Settings(
        Editing.VI,
        "less -R",
        frozenset({Question.LOAD, Question.QUIT}),
        (
            KeyBinding(("f5",), Enter("info status")),
            KeyBinding(("c-x", "s"), Insert("savevm ")),
            KeyBinding(("escape", "u"), Perform("undo")),
            KeyBinding(("f4",), Perform("nothing")),
        ),
        {
            "notice": "ansibrightblue bold",
            "menu": "ansiwhite bg:ansiblue",
            "error": "",
            "event-time": "ansicyan",
            "json-key": "ansidefault",
        },
        {"s": "savevm", "snaps": "info snapshots"},
    )


@pytest.mark.parametrize("text", ["", "[keys]\n[colors]\n[aliases]\n"])
def test_empty_file_leaves_all_as_it_is(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Settings()


@pytest.mark.parametrize(("text", "asks"), [('ask = "load"', {Question.LOAD}), ("ask = []", set())])
def test_questions_that_are_asked(tmp_path: Path, text: str, asks: set[Question]) -> None:
    assert read(tmp_path, text).asks == asks


def test_no_pager_is_wanted(tmp_path: Path) -> None:
    assert read(tmp_path, 'pager = ""').pager == ""


def test_all_mistakes_are_told_at_once_and_the_rest_holds(tmp_path: Path) -> None:
    text = """\
editing = "nano"
pager = "less '"
ask = ["loads"]
colour = 1

[keys]
c-c = "undo"
f5 = {enter = "info status"}

[colors]
notice = "#ff0000"
nosuch = "red"
error = 7

[aliases]
savevm = "delvm"
s = "savevm"
"""
    found = read(tmp_path, text)
    assert found.aliases == {"s": "savevm"}
    assert found.keys == (KeyBinding(("f5",), Enter("info status")),)
    assert (found.editing, found.pager, found.asks, found.colors) == (Editing.EMACS, None, frozenset(Question), {})
    assert mistakes(tmp_path, text) == [
        "1: editing: write one of 'emacs', 'vi'",
        '2: pager: write a command in one line, such as "less -R", or "" for none',
        "3: ask: item 1: write one of 'replace', 'load', 'delete', 'quit', or a list of them",
        "4: colour: unknown; the keys are editing, pager, ask, keys, colors, aliases",
        "7: c-c: the meaning of this key cannot be changed",
        "11: notice: '#ff0000' is none of bold, underline, italic, reverse, nor a colour of the terminal's own: default, "
        "black, red, green, yellow, blue, magenta, cyan, gray, brightblack, brightred, brightgreen, brightyellow, brightblue, "
        "brightmagenta, brightcyan, white; bg:COLOUR sets the background",
        f"12: nosuch: unknown here; colours can be set for {', '.join(sorted(COLORED))}",
        '13: error: write words in quotes, such as "red bold", or "" for none',
        "16: savevm: savevm is a command that an alias cannot replace; choose another name",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("editing = vi", "1: invalid TOML: Invalid value (at line 1, column 11)"),
        ("keys = 1", "1: keys: write it as a table: [keys]"),
        ("aliases = []", "1: aliases: write it as a table: [aliases]"),
        ("pager = 1", "1: pager: write a command in one line"),
        ('pager = "a\\nb"', "1: pager: write a command in one line"),
        ("ask = [1]", '1: ask: item 1: write a string in quotes, such as "vm1"'),
        ("ask = true", "1: ask: write a string in quotes, or a list of strings"),
        ('[keys]\nf5 = "undo"\n" f5" = "yank"', "3:  f5: it is the same key as f5"),
        ('[colors]\njson.key = "red"', "2: json: unknown here"),
    ],
)
def test_mistake(tmp_path: Path, text: str, told: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(told)


def test_page_has_what_holds_without_a_file(tmp_path: Path) -> None:
    """And all that can have a colour."""
    page = (ROOT / "docs" / "prompt.md").read_text(encoding="utf-8")
    shown = read(tmp_path, page.partition("```toml\n")[2].partition("```")[0].replace("#pager", "pager"))
    assert (shown.editing, shown.asks, shown.mistakes) == (Settings().editing, Settings().asks, ())
    assert shown.keys == (KeyBinding(("f4",), Perform("switch-editing-mode")),)
    assert style_with(shown.colors).style_rules == STYLE.style_rules
    section = page.partition("## Settings\n")[2].partition("\n## ")[0]
    assert [name for name in COLORED if not re.search(rf"(?m)`{name}`|^{name} = ", section)] == []


def test_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    found = read_settings(tmp_path / "none.toml", names=COLORED)
    assert found == Settings(mistakes=(f"{tmp_path}/none.toml: No such file or directory",))
