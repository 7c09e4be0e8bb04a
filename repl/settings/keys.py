"""How a key is spelled in the settings, and what it may do."""

from collections.abc import Mapping
from typing import Any, Final

from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.keys import ALL_KEYS, KEY_ALIASES

from host.settings.bad_value import BadValue
from host.settings.setting_types import read_text
from repl.settings.values import Action, Enter, Insert, KeyBinding, Perform

__all__ = ["OWN_FUNCTIONS", "mistake_about", "read_binding"]

# Functions for which readline has no name.
OWN_FUNCTIONS: Final = ("nothing", "switch-editing-mode")
# Keys that cannot be rebound: without them, a line could not be entered or given up, and escape begins the Alt sequences.
_KEPT: Final = frozenset({"c-m", "c-j", "c-c", "escape"})
_ALT: Final = "m-"
_HOW: Final = (
    "write one of readline's functions, such as 'kill-word', or 'switch-editing-mode' or 'nothing', "
    'or {enter = "a line"} or {insert = "a text"}'
)


def read_binding(spelling: str, value: Any) -> KeyBinding:
    """Read a key, or several separated by blanks, and what it does. Raises BadValue."""
    keys = tuple(key for word in spelling.split() for key in _keys(word))
    if not keys:
        raise BadValue("write a key, such as f5")
    if keys[0] in _KEPT and len(keys) == 1:
        raise BadValue("the meaning of this key cannot be changed")
    if len(keys[0]) == 1:
        raise BadValue("a character can only be typed; begin with another key, such as f5, c-t or m-t")
    return KeyBinding(keys, _action(value))


def _keys(word: str) -> tuple[str, ...]:
    if word.startswith(_ALT) and len(word) > len(_ALT):
        return ("escape", *_keys(word.removeprefix(_ALT)))
    key = KEY_ALIASES.get(word, word)
    if (len(key) == 1 and key.isprintable()) or (key in ALL_KEYS and not key.startswith("<")):
        return (key,)
    raise BadValue(f"there is no key '{word}'; keys are f1 to f24, c-a (Ctrl), m-a (Alt), s-tab, insert, pageup and so on")


def _action(value: Any) -> Action:
    match value:
        case {"enter": text} if len(value) == 1:
            return Enter(_one_line(text))
        case {"insert": text} if len(value) == 1:
            return Insert(_one_line(text))
        case str(name) if name in OWN_FUNCTIONS or _is_readlines(name):
            return Perform(name)
    raise BadValue(_HOW)


def _one_line(value: Any) -> str:
    text = read_text(value)
    if text.isprintable():
        return text
    raise BadValue("write one line, without control characters")


def _is_readlines(name: str) -> bool:
    try:
        get_by_name(name)
    except KeyError:
        return False
    return True


def mistake_about(keys: tuple[str, ...], others: Mapping[tuple[str, ...], str]) -> str | None:
    """Return why a key conflicts with others, given with their spellings; None if it does not."""
    if keys in others:
        return f"it is the same key as {others[keys]}"
    for other, spelling in others.items():
        if other[: len(keys)] == keys or keys[: len(other)] == other:
            return f"it and {spelling} begin alike, so the longer one could never be pressed"
    return None
