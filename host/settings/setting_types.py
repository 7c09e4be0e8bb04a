"""How a setting is parsed: from a word of the command line, and from a value of a TOML file.

Both spell the same value, and each reports a mistake in its own terms, because one user types and the other edits a file. What
argparse stores need not be the final value: a repeatable option makes a list, a size is a number of MiB, and a switch may turn
something off. `SettingType.finish` makes the final value.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from operator import not_
from sys import float_info
from typing import Any, TypeVar

from host.errors import AddressError
from host.net.addresses import Address, parse_attached_path, parse_upstream_address
from host.net.socket_access import group_id, parse_mode, user_id
from host.settings.bad_value import BadValue, read_list, read_one
from host.settings.config import confidential, parse_audit_destination
from shim.errors import PatternError
from shim.graph.patterns import Pattern
from shim.records.confidential import Confidential

__all__ = [
    *("ADDRESS", "ALLOWED", "BUFFER_MIB", "CONFIDENTIAL", "COUNT", "DESTINATION", "GROUP", "HOURS", "MIB", "MODE"),
    *("MOST_NUMBER", "PATTERNS", "SECONDS", "SOCKET_PATH", "SWITCH", "SWITCH_OFF", "TEXT", "USER", "WHOLE_SECONDS"),
    *("SettingType", "argument", "one_of", "read_some", "read_text", "text_of_word", "with_numbers"),
]

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=StrEnum)
_Kind = TypeVar("_Kind", bound=Address)

# A larger number of anything is a typing error.
MOST_NUMBER = 10**9 - 1
_MIB = 1024 * 1024


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class SettingType:
    """One type of value.

    from_file: makes the value from what tomllib returned. Raises BadValue. from_word: argparse's `type`. Raises
    ArgumentTypeError. None for a switch, which takes no word. finish: makes the value from what argparse stored. Raises
    ValueError with what the option takes. choices: the possible words, () for any.
    """

    from_file: Callable[[Any], Any]
    from_word: Callable[[str], Any] | None = str
    finish: Callable[[Any], Any] = _as_it_is
    choices: Sequence[StrEnum] = ()
    is_repeatable: bool = False


# Words of the command line.


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return a function for add_argument's `type`, made of one that raises AddressError, PatternError or ValueError."""

    def parse_argument(text: str) -> _T:
        try:
            return parse(text)
        except (AddressError, PatternError, ValueError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return parse_argument


def _choice_of_word(kind: type[_Choice]) -> Callable[[str], _Choice]:
    def parse_choice(text: str) -> _Choice:
        try:
            return kind(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(kind)}") from exc

    return parse_choice


def _seconds_of_word(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value < inf:
        return value
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds, 0 or more")


def _number_of_word(text: str) -> int:
    # The length first: int() refuses a text with thousands of digits.
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_NUMBER)) and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text:.40}' is not a whole number from 1 to {MOST_NUMBER}")


def text_of_word(text: str) -> str:
    """Return a text that is not empty. Raises ValueError."""
    if text:
        return text
    raise ValueError("it is empty; write something, or drop the option")


def _destination_of_word(text: str) -> str:
    try:
        return parse_audit_destination(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _confidential_of_word(text: str) -> frozenset[Confidential]:
    try:
        return confidential(text.split(","))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(Confidential)}, all") from exc


# What argparse stored.


def _bytes_of_mib(mib: int) -> int:
    return mib * _MIB


def _bytes_of_buffer(mib: int) -> int:
    if mib < 1:
        raise ValueError("takes a whole number of MiB, 1 or more")
    return mib * _MIB


def _seconds_of_hours(hours: int) -> int:
    return hours * 3600


def _union(kinds: Iterable[frozenset[Confidential]]) -> frozenset[Confidential]:
    return frozenset().union(*kinds)


# Values of a file.


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise BadValue("write true or false")


def read_text(value: Any) -> str:
    """Return one string. Raises BadValue."""
    if isinstance(value, str) and value:
        return _without_nul(value)
    raise BadValue('write a string in quotes, such as "vm1"')


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise BadValue("it contains a NUL character, which no name or path can have; drop it")
    return text


def _count(unit: str = "", factor: int = 1) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            if value > MOST_NUMBER:
                raise BadValue(f"write a whole number{unit} from 1 to {MOST_NUMBER}")
            return value * factor
        raise BadValue(f"write a whole number{unit}, 1 or more")

    return read


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= float_info.max:
        return float(value)
    raise BadValue("write a number of seconds, 0 or more")


def read_some(value: Any, read: Callable[[str], _T]) -> list[_T]:
    """Return what one string, or each of a list, is read as. Raises BadValue.

    read: may raise BadValue, AddressError, PatternError or ValueError.
    """
    if isinstance(value, list):
        return read_list(value, lambda item: read(read_text(item)))
    if not isinstance(value, str) or not value:
        raise BadValue('write a string in quotes, or a list of strings: ["a", "b"]')
    return [read_one(_without_nul(value), read)]


def with_numbers(value: Any) -> Any:
    """Return a value, or a list of them, with strings in place of whole numbers: of users and groups."""
    if isinstance(value, list):
        return [str(item) if type(item) is int else item for item in value]
    return str(value) if type(value) is int else value


def _allowed(value: Any) -> frozenset[str]:
    return frozenset(read_some(value, str))


def _patterns(value: Any) -> tuple[Pattern, ...]:
    return tuple(read_some(value, Pattern.parse))


def _choice(kind: type[_Choice]) -> Callable[[Any], _Choice]:
    def read(value: Any) -> _Choice:
        try:
            return kind(value)
        except ValueError as exc:
            raise BadValue(f"write one of {', '.join(repr(choice.value) for choice in kind)}") from exc

    return read


def _confidential(value: Any) -> frozenset[Confidential]:
    kinds = f"write {', '.join(repr(kind.value) for kind in Confidential)} or 'all'"
    otherwise = kinds if isinstance(value, list) else f"{kinds}, or a list of these"

    def read(text: str) -> frozenset[Confidential]:
        try:
            return confidential([text])
        except ValueError as exc:
            raise BadValue(otherwise) from exc

    return _union(read_some(value, read))


def _destination(value: Any) -> str:
    return read_one(read_text(value), parse_audit_destination)


def _address(parse: Callable[[str], _Kind]) -> Callable[[Any], _Kind]:
    def read(value: Any) -> _Kind:
        return read_one(read_text(value), parse)

    return read


def _mode(value: Any) -> int:
    if not isinstance(value, str):
        raise BadValue('write the mode as a string in octal, such as "0660"')
    return read_one(value, parse_mode)


def _account(find: Callable[[str], int]) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        return read_one(read_text(with_numbers(value)), find)

    return read


# The types.


def one_of(kind: type[StrEnum]) -> SettingType:
    """Return the type of a setting that is one value of an enum."""
    return SettingType(_choice(kind), _choice_of_word(kind), choices=list(kind))


SWITCH = SettingType(_boolean, None)
# The option turns off what the key sets to true.
SWITCH_OFF = SettingType(_boolean, None, not_)
TEXT = SettingType(read_text)
COUNT = SettingType(_count(), _number_of_word)
SECONDS = SettingType(_seconds, _seconds_of_word)
WHOLE_SECONDS = SettingType(_count(" of seconds"), _number_of_word)
HOURS = SettingType(_count(" of hours", 3600), _number_of_word, _seconds_of_hours)
MIB = SettingType(_count(" of MiB", _MIB), _number_of_word, _bytes_of_mib)
# The option has no upper limit.
BUFFER_MIB = SettingType(_count(" of MiB", _MIB), int, _bytes_of_buffer)
ALLOWED = SettingType(_allowed, argument(text_of_word), finish=frozenset, is_repeatable=True)
PATTERNS = SettingType(_patterns, argument(Pattern.parse), tuple, is_repeatable=True)
CONFIDENTIAL = SettingType(_confidential, _confidential_of_word, _union, is_repeatable=True)
DESTINATION = SettingType(_destination, _destination_of_word)
ADDRESS = SettingType(_address(parse_upstream_address), argument(parse_upstream_address))
SOCKET_PATH = SettingType(_address(parse_attached_path), argument(parse_attached_path))
MODE = SettingType(_mode, argument(parse_mode))
USER = SettingType(_account(user_id), argument(user_id))
GROUP = SettingType(_account(group_id), argument(group_id))
