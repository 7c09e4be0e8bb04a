"""`repl.toml`: TOML, in which every key is checked. docs/prompt.md documents them.

editing = "vi"              pager = "less -R"            ask = ["replace", "load", "delete", "quit"]
[keys]     f5 = {enter = "info status"}
[colors]   notice = "blue"
[aliases]  s = "savevm"
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from prompt_toolkit.styles import ANSI_COLOR_NAMES

from host.configuration.config_text import ConfigText, read_toml
from host.configuration.toml_places import Place
from host.errors import ConfigError
from host.settings.bad_value import BadValue
from host.settings.setting_types import one_of, read_some
from repl.settings.aliases import read_alias
from repl.settings.keys import mistake_about, read_binding
from repl.settings.values import Editing, KeyBinding, Question, Settings

__all__ = ["read_settings"]

_KEYS: Final = ("editing", "pager", "ask", "keys", "colors", "aliases")
_LOOKS: Final = ("bold", "underline", "italic", "reverse")


def read_settings(path: Path, *, names: Collection[str]) -> Settings:
    """Read a file, and note all mistakes in it. names: of the things whose colour can be set."""
    try:
        return _Reading(*read_toml(str(path)), names).settings()
    except ConfigError as exc:
        return Settings(mistakes=(str(exc),))


class _Reading:
    """One reading of a file."""

    def __init__(self, text: ConfigText, content: Mapping[str, Any], names: Collection[str]) -> None:
        self._text = text
        self._content = content
        self._names = names
        self._mistakes: list[ConfigError] = []

    def settings(self) -> Settings:
        """Return what the file sets, without its mistakes."""
        for key in self._content:
            if key not in _KEYS:
                self._tell("", key, f"unknown; the keys are {', '.join(_KEYS)}")
        values: dict[str, Any] = {}
        for key, member, read in (
            ("editing", "editing", one_of(Editing).from_file),
            ("pager", "pager", _command),
            ("ask", "asks", _questions),
        ):
            if key in self._content and (value := self._value("", key, read, self._content[key])) is not None:
                values[member] = value
        aliases = self._table("aliases")
        values["aliases"] = self._each("aliases", partial(read_alias, frozenset(aliases)), aliases)
        values["colors"] = self._each("colors", self._style, self._table("colors"))
        values["keys"] = self._keys()
        mistakes = sorted(self._mistakes, key=lambda mistake: mistake.line)
        return Settings(**values, mistakes=tuple(map(str, mistakes)))

    def _tell(self, table: str, key: str, reason: str, inside: Place = ()) -> None:
        self._mistakes.append(self._text.error((table, key) if table else (key,), reason, inside))

    def _value(self, table: str, key: str, read: Callable[[Any], Any], value: Any) -> Any:
        """Return a value, or note its mistake and return None."""
        try:
            return read(value)
        except BadValue as exc:
            for one in exc.wrong:
                self._tell(table, key, one.reason, one.at)
            return None

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self._content.get(name, {})
        if isinstance(table, dict):
            return table
        self._tell("", name, f"write it as a table: [{name}]")
        return {}

    def _each(self, table: str, read: Callable[[str, Any], Any], content: Mapping[str, Any]) -> dict[str, Any]:
        """Read a table, and return the values without a mistake."""
        found = {key: self._value(table, key, partial(read, key), value) for key, value in content.items()}
        return {key: value for key, value in found.items() if value is not None}

    def _keys(self) -> tuple[KeyBinding, ...]:
        bindings = self._each("keys", read_binding, self._table("keys"))
        seen: dict[tuple[str, ...], str] = {}
        for spelling, binding in bindings.items():
            if (reason := mistake_about(binding.keys, seen)) is not None:
                self._tell("keys", spelling, reason)
            else:
                seen[binding.keys] = spelling
        return tuple(bindings[spelling] for spelling in seen.values())

    def _style(self, name: str, value: Any) -> str:
        if name not in self._names:
            raise BadValue(f"unknown here; colours can be set for {', '.join(sorted(self._names))}")
        if not isinstance(value, str):
            raise BadValue('write words in quotes, such as "red bold", or "" for none')
        return " ".join(map(_look, value.split()))


def _look(word: str) -> str:
    """Return a word of a style in prompt_toolkit's spelling. Raises BadValue."""
    if word in _LOOKS:
        return word
    ground, color = ("bg:", word[3:]) if word.startswith("bg:") else ("", word)
    name = f"ansi{color.removeprefix('ansi')}"
    if name in ANSI_COLOR_NAMES:
        return ground + name
    colors = ", ".join(name.removeprefix("ansi") for name in ANSI_COLOR_NAMES)
    raise BadValue(
        f"'{word}' is none of {', '.join(_LOOKS)}, nor a colour of the terminal's own: {colors}; bg:COLOUR sets the background"
    )


def _command(value: Any) -> str:
    try:
        if isinstance(value, str) and value.isprintable():
            shlex.split(value)
            return value
    except ValueError:
        pass  # an unclosed quote
    raise BadValue('write a command in one line, such as "less -R", or "" for none')


def _questions(value: Any) -> frozenset[Question]:
    return frozenset(read_some(value, _question))


def _question(text: str) -> Question:
    try:
        return Question(text)
    except ValueError as exc:
        raise BadValue(f"write one of {', '.join(map(repr, map(str, Question)))}, or a list of them") from exc
