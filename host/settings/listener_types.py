"""How listeners are parsed, each with its own terms: `unix:/run/a.sock,mode=0660` as a word, or a table in the file.

    listen = [{ address = "unix:/run/a.sock", mode = "0660", errors = "qmp" }, "unix:/run/b.sock"]

A word's options begin at the first `,KEY=` whose key is a listener's; every other comma belongs to the path, and so does that
one if it is doubled. In an option's value `,,` stands for a comma, as in QEMU's own options.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from host.net.addresses import Address
from host.net.socket_access import group_id, user_id
from host.settings.bad_value import BadValue, Wrong, meant_by, read_list, read_one, unknown_key, within
from host.settings.listener import Said
from host.settings.setting_types import SWITCH, SettingType, argument, read_some, read_text, with_numbers

__all__ = ["EXECUTABLES", "GROUPS", "ON_OFF", "TEXT_OR_NONE", "USERS", "Row", "listener_type", "listeners_type"]

_ADDRESS_KEY = "address"


def _accounts(find: Callable[[str], int]) -> SettingType:
    def from_file(value: Any) -> frozenset[int]:
        return frozenset(read_some(with_numbers(value), find))

    return SettingType(from_file, argument(find), frozenset, is_repeatable=True)


def _executable(text: str) -> str:
    if text.startswith("/"):
        return text
    raise ValueError(f"'{text:.40}' is not the path of an executable; write it from the root, such as /usr/bin/virsh")


def _executables(value: Any) -> frozenset[str]:
    return frozenset(read_some(value, _executable))


def _on(text: str) -> bool:
    if text in ("on", "off"):
        return text == "on"
    raise ValueError(f"'{text:.40}' is not one of on, off")


def _text_or_none(value: Any) -> str:
    return "" if value == "" else read_text(value)


USERS = _accounts(user_id)
GROUPS = _accounts(group_id)
# A text, "" for none.
TEXT_OR_NONE = SettingType(_text_or_none)
# A switch that can be off for one listener although it is on for all others.
ON_OFF = SettingType(SWITCH.from_file, argument(_on))
EXECUTABLES = SettingType(_executables, argument(_executable), frozenset, is_repeatable=True)


class Row(Protocol):
    """A row of the table of settings that a single listener may have."""

    @property
    def type(self) -> SettingType: ...
    @property
    def field(self) -> str: ...
    @property
    def key_of_listener(self) -> str: ...
    @property
    def word_of_listener(self) -> str: ...


def listeners_type(parse: Callable[[str], Address], rows: Sequence[Row]) -> SettingType:
    """Return the type of a setting that is any number of listeners."""

    def from_file(value: Any) -> tuple[Address | Said, ...]:
        if isinstance(value, list):
            return tuple(read_list(value, read))
        return (read(value),) if isinstance(value, dict) else tuple(read_some(value, read))

    def read(value: Any) -> Address | Said:
        return _said_in_file(value, parse, rows)

    return SettingType(from_file, argument(lambda text: _said_in_word(text, parse, rows)), tuple, is_repeatable=True)


def listener_type(parse: Callable[[str], Address], rows: Sequence[Row]) -> SettingType:
    """Return the type of a setting that is one listener."""

    def from_file(value: Any) -> Address | Said:
        return _said_in_file(value, parse, rows)

    return SettingType(from_file, argument(lambda text: _said_in_word(text, parse, rows)))


def _said_in_file(value: Any, parse: Callable[[str], Address], rows: Sequence[Row]) -> Address | Said:
    """Raises BadValue."""
    if not isinstance(value, dict):
        return read_one(read_text(value), lambda text: _said_in_word(text, parse, rows))
    known = {row.key_of_listener: row for row in rows}
    wrong: list[Wrong] = []
    if _ADDRESS_KEY not in value and not any(_ADDRESS_KEY in meant_by(key, (_ADDRESS_KEY,)) for key in value):
        wrong.append(Wrong(f'the table of a listener needs its address: {{ {_ADDRESS_KEY} = "unix:/path", … }}'))
    address, own = None, {}
    for key, part in value.items():
        if key == _ADDRESS_KEY:
            address = within(key, key, lambda text: parse(read_text(text)), part, wrong)
        elif key in known:
            own[known[key].field] = within(key, key, known[key].type.from_file, part, wrong)
        else:
            keys = (_ADDRESS_KEY, *known)
            wrong.append(Wrong(f"{key}: {unknown_key(key, keys, _keys_of_listener(keys))}", (key,)))
    if wrong or address is None:
        raise BadValue(*wrong)
    return Said(address, own) if own else address


def _keys_of_listener(keys: Iterable[str]) -> str:
    return f"the keys of a listener are {', '.join(sorted(keys))}"


def _said_in_word(text: str, parse: Callable[[str], Address], rows: Sequence[Row]) -> Address | Said:
    """Parse a listener in a word. Raises AddressError, or ValueError for an option."""
    known = {row.word_of_listener: row for row in rows}
    begin = re.search(rf"(?<!,),(?=(?:{'|'.join(map(re.escape, known))})=)", text)
    if begin is None:
        return parse(text)
    words: dict[str, list[str]] = {}
    for option in text[begin.end() :].replace(",,", "\0").split(","):
        key, equals, value = option.replace("\0", ",").partition("=")
        if not equals or key not in known:
            raise ValueError(f"'{option:.40}' is not an option of a listener; write {'=…, '.join(known)}=…")
        words.setdefault(key, []).append(value)
    return Said(parse(text[: begin.start()]), _members(words, known))


def _members(words: Mapping[str, Sequence[str]], known: Mapping[str, Row]) -> dict[str, Any]:
    """Parse options that were given; an empty value of one that may be repeated stands for none."""
    members = {}
    for key, values in words.items():
        kind = known[key].type
        if not kind.is_repeatable and len(values) > 1:
            raise ValueError(f"{key} is given twice; write it once")
        assert kind.from_word is not None, "a switch cannot be a listener's"
        try:
            stored = [kind.from_word(value) for value in values if value or not kind.is_repeatable]
            members[known[key].field] = kind.finish(stored if kind.is_repeatable else stored[0])
        except (argparse.ArgumentTypeError, ValueError) as exc:
            raise ValueError(f"{key}: {exc}") from exc
    return members
