"""How keys are spelled, and what they may do."""

from typing import Any

import pytest

from host.settings.bad_value import BadValue
from repl.settings.keys import mistake_about, read_binding
from repl.settings.values import Action, Enter, Insert, KeyBinding, Perform


@pytest.mark.parametrize(
    ("spelling", "keys"),
    [
        ("f5", ("f5",)),
        ("f24", ("f24",)),
        ("c-t", ("c-t",)),
        ("tab", ("c-i",)),
        ("c-x c-s", ("c-x", "c-s")),
        ("c-x s", ("c-x", "s")),
        ("m-s", ("escape", "s")),
        ("m-f5", ("escape", "f5")),
        ("escape s", ("escape", "s")),
        ("m--", ("escape", "-")),
        ("insert", ("insert",)),
        ("s-tab", ("s-tab",)),
    ],
)
def test_keys(spelling: str, keys: tuple[str, ...]) -> None:
    assert read_binding(spelling, "undo") == KeyBinding(keys, Perform("undo"))


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ({"enter": "info status"}, Enter("info status")),
        ({"insert": "savevm "}, Insert("savevm ")),
        ("kill-word", Perform("kill-word")),
        ("nothing", Perform("nothing")),
        ("switch-editing-mode", Perform("switch-editing-mode")),
    ],
)
def test_actions(value: Any, action: Action) -> None:
    assert read_binding("f5", value) == KeyBinding(("f5",), action)


@pytest.mark.parametrize(
    ("spelling", "value", "reason"),
    [
        ("f25", "undo", "there is no key 'f25'; keys are f1 to f24"),
        ("ctrl-a", "undo", "there is no key 'ctrl-a'"),
        ("<sigint>", "undo", "there is no key '<sigint>'"),
        ("<any>", "undo", "there is no key '<any>'"),
        ("m-", "undo", "there is no key 'm-'"),
        ("", "undo", "write a key, such as f5"),
        ("enter", "undo", "the meaning of this key cannot be changed"),
        ("c-j", "undo", "the meaning of this key cannot be changed"),
        ("c-c", "undo", "the meaning of this key cannot be changed"),
        ("escape", "undo", "the meaning of this key cannot be changed"),
        ("a", "undo", "a character can only be typed"),
        ("a f5", "undo", "a character can only be typed"),
        ("f5", "nosuch", "write one of readline's functions"),
        ("f5", 5, "write one of readline's functions"),
        ("f5", {}, "write one of readline's functions"),
        ("f5", {"enter": "a", "insert": "b"}, "write one of readline's functions"),
        ("f5", {"enter": 1}, "write a string in quotes"),
        ("f5", {"enter": ""}, "write a string in quotes"),
        ("f5", {"insert": "a\nb"}, "write one line, without control characters"),
    ],
)
def test_mistakes(spelling: str, value: Any, reason: str) -> None:
    with pytest.raises(BadValue, match=rf"^{reason}"):
        read_binding(spelling, value)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (("f6",), None),
        (("c-x", "b"), None),
        (("f5",), "it is the same key as F5"),
        (("c-x",), "it and C-X A begin alike"),
        (("f5", "a"), "it and F5 begin alike"),
    ],
)
def test_keys_that_keep_each_other_from_being_pressed(keys: tuple[str, ...], reason: str | None) -> None:
    found = mistake_about(keys, {("f5",): "F5", ("c-x", "a"): "C-X A"})
    assert found == reason if reason is None else found is not None and found.startswith(reason)
