"""The text of a configuration file: it is TOML, and an error names the line of a key."""

import re
import tomllib
from pathlib import Path
from typing import Any

from host.errors import ConfigError
from host.settings.setting_types import MOST_NUMBER

__all__ = ["ConfigText", "read_toml"]

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]")
_BLANKS_AND_QUOTES = re.compile(r"[\s\"']")
_SYNTAX_ERROR_LINE = re.compile(r"\(at line (\d+)")

_SHOWN_CHARS = 100
# Python refuses decimal numbers with so many digits (sys.set_int_max_str_digits), and no value of this file is nested that
# deep.
_TOO_LONG_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4300}")
_MOST_NESTING = 100
# Brackets, which open or close a value, and the parts in which brackets do not count: strings and comments.
_VALUE_PART = re.compile(
    r"\"\"\".*?(?:\"\"\"|\Z)|'''.*?(?:'''|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?|#[^\n]*|[\[\]{}]", re.DOTALL
)
_KEY = re.compile(r"\s*([^=#]+?)\s*=")


class ConfigText:
    """The text of a file, in which a key's line can be found. tomllib returns values only."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")

    def error(self, table: str, number: int, key: str | None, reason: str, item: int | None = None) -> ConfigError:
        line = self._line(table, number, key)
        line = line if item is None else self._line_of_item(line, item)
        return ConfigError(self.path, line, (key or f"[{table}]")[:_SHOWN_CHARS], reason)

    def _line_of_item(self, line: int, item: int) -> int:
        """Find the nth table of a list that begins in a line, whether written in brackets or each with a header of its own."""
        rest = self._lines[line - 1 :]
        if _HEADER.match(rest[0]):
            headers = [number for number, text in enumerate(rest) if _HEADER.match(text) and text.strip() == rest[0].strip()]
            return line + headers[item]
        text, depth, tables = "\n".join(rest), 0, 0
        for part in _VALUE_PART.finditer(text):
            if part[0] == "{" and depth == 1:
                if tables == item:
                    return line + text.count("\n", 0, part.start())
                tables += 1
            depth += (part[0] in ("[", "{")) - (part[0] in ("]", "}"))
        return line

    def _line(self, table: str, number: int, key: str | None) -> int:
        """Find a key in the nth table of this name ("": the top level); the table itself if the key is not written there."""
        path = f"{table}.{key}".strip(".")
        seen, found, inside, at_top = -1, 1, table == "", True
        for line_number, line in enumerate(self._lines, 1):
            header = _HEADER.match(line)
            if header:
                name = _BLANKS_AND_QUOTES.sub("", header[1])
                if key and f"{name}.".startswith(f"{path}.") and max(seen, 0) == number:
                    return line_number
                seen += name == table
                inside, at_top = name == table and seen == number, False
                found = line_number if inside else found
            elif key and ((inside and _is_written(line, key)) or (at_top and _is_written(line, path))):
                return line_number
        return found


def _is_written(line: str, key: str) -> bool:
    """Return whether a line begins with the key, or one below it, in any spelling."""
    names = (rf"[\"']?{re.escape(name)}[\"']?" for name in key.split("."))
    return re.match(r"\s*" + r"\s*\.\s*".join(names) + r"\s*[=.]", line) is not None


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
        at = _SYNTAX_ERROR_LINE.search(str(exc))
        # An error without a line is at the end. str.splitlines would also split at control characters.
        line = int(at[1]) if at else text.removesuffix("\n").count("\n") + 1
        raise ConfigError(path, line, "", f"invalid TOML: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise _unreadable(path, text, exc) from exc
    return ConfigText(path, text), content


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
    for part in _VALUE_PART.finditer(text):
        depth = max(0, depth + (part[0] in ("[", "{")) - (part[0] in ("]", "}")))
        if depth > _MOST_NESTING:
            return part.start()
    return None
