"""The text of a configuration file: it is TOML, and an error names the line of what is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any

from host.configuration.toml_places import VALUE_PART, Place, Places, statements
from host.errors import ConfigError
from host.settings.setting_types import MOST_NUMBER

__all__ = ["ConfigText", "read_toml"]

_SYNTAX_ERROR_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
# What tomllib says of a key that is given twice, after it has read the second value.
_TWICE = "Cannot overwrite a value"

_SHOWN_CHARS = 100
# Python refuses decimal numbers with so many digits (sys.set_int_max_str_digits), and no value of this file is nested that
# deep.
_TOO_LONG_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4300}")
_MOST_NESTING = 100
_KEY = re.compile(r"\s*([^=#]+?)\s*=")


class ConfigText:
    """The text of a file. tomllib returns values only, and this finds their lines."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._places = Places(text)

    def error(self, place: Place, reason: str, inside: Place = ()) -> ConfigError:
        """Return the error for a key or a table, in the line of the part that leads furthest to what is wrong inside it.

        place: such as ("vm", 1, "rules"). inside: from there, such as (0, "deny").
        """
        key = place[-1] if isinstance(place[-1], str) else f"[{place[-2]}]"
        return ConfigError(self.path, self._places.line((*place, *inside)), key[:_SHOWN_CHARS], reason)

    def has(self, place: Place) -> bool:
        """Return whether something is written at exactly this place."""
        return self._places.has(place)


def read_toml(path: str) -> tuple[ConfigText, dict[str, Any]]:
    """Read a file. Raises ConfigError if it is not TOML, or exceeds Python's limits."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as exc:
        raise ConfigError(path, 0, "", exc.strerror or str(exc)) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(path, exc.object.count(b"\n", 0, exc.start) + 1, "", f"invalid TOML: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise _invalid(path, text, exc) from exc
    except (ValueError, RecursionError) as exc:
        raise _unreadable(path, text, exc) from exc
    return ConfigText(path, text), content


def _invalid(path: str, text: str, exc: tomllib.TOMLDecodeError) -> ConfigError:
    at = _SYNTAX_ERROR_PLACE.search(str(exc))
    if str(exc).startswith(_TWICE):
        # Its place is where the value ends, which may be some lines below the key.
        offset = _offset(text, int(at[1]), int(at[2])) if at else len(text)
        for last in (statement for statement in reversed([*statements(text)]) if statement.at < offset):
            line = text.count("\n", 0, last.at) + 1
            return ConfigError(path, line, ".".join(last.names)[:_SHOWN_CHARS], "it is given twice; write it once")
    # An error without a line is at the end. str.splitlines would also split at control characters.
    line = int(at[1]) if at else text.removesuffix("\n").count("\n") + 1
    return ConfigError(path, line, "", f"invalid TOML: {exc}")


def _offset(text: str, line: int, column: int) -> int:
    return sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1


def _unreadable(path: str, text: str, exc: Exception) -> ConfigError:
    """Return the error for TOML that exceeds Python's limits. tomllib does not say where that is."""
    if isinstance(exc, RecursionError):
        at, reason = (
            _place_of_nesting(text),
            f"it is nested more than {_MOST_NESTING} deep; write a string, or a list of strings",
        )
    else:
        found = _TOO_LONG_NUMBER.search(text)
        at = None if found is None else found.start()
        reason = f"the number is too long; write at most {MOST_NUMBER}" if found else f"this cannot be read: {exc}"
    if at is None:
        return ConfigError(path, 0, "", reason)
    line = text.count("\n", 0, at) + 1
    before = text[:at].split("\n")
    key = next((match[1] for match in map(_KEY.match, [text.split("\n")[line - 1], *reversed(before)]) if match), "")
    return ConfigError(path, line, key[:_SHOWN_CHARS], reason)


def _place_of_nesting(text: str) -> int | None:
    """Return where brackets are nested too deeply; None if they are not."""
    depth = 0
    for part in VALUE_PART.finditer(text):
        depth = max(0, depth + (part[0] in ("[", "{")) - (part[0] in ("]", "}")))
        if depth > _MOST_NESTING:
            return part.start()
    return None
