"""How rules about commands are read (shim/rules.py): from words of the command line, and from tables of the file.

    rules = [{ allow = ["query-*"] }, { deny = ["quit", "human-monitor-command: q"], user = "alice" }]
    --rule 'allow query-*' --rule 'deny quit, human-monitor-command: q for user=alice'

The modules with the rules are imported when the first one is read, because a start without rules is quicker so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from host.addresses import parse_listen_address
from host.errors import AddressError
from host.listener import listener_name
from host.setting_types import BadValue, SettingType, argument, read_texts
from host.socket_access import user_id
from shim.errors import CommandPatternError

if TYPE_CHECKING:
    from shim.rules import Rule, Whom

__all__ = ["ALLOWED_COMMANDS", "RULES"]

_EFFECTS: Final = ("allow", "deny")
_WHOM: Final = ("listener", "user", "executable", "certificate")
_FORM: Final = re.compile(r"(allow|deny)\s+(.+?)(?:\s+for\s+((?:listener|user|executable|certificate)=.*))?", re.DOTALL)
_SEPARATOR: Final = re.compile(r",\s+")
_KEYS: Final = f"{' or '.join(_EFFECTS)}, and {', '.join(_WHOM)}"


def _whom(given: Mapping[str, Sequence[str]]) -> "Whom":
    """Raises ValueError or AddressError."""
    from shim.rules import Whom

    return Whom(
        listeners=tuple(listener_name(parse_listen_address(text)) for text in given.get("listener", ())),
        uids=tuple(map(user_id, given.get("user", ()))),
        executables=tuple(given.get("executable", ())),
        certificates=tuple(given.get("certificate", ())),
    )


def _rule(effect: str, patterns: Sequence[str], given: Mapping[str, Sequence[str]]) -> "Rule":
    """Raises ValueError, AddressError or CommandPatternError."""
    from shim.rules import Rule

    make = Rule.allow if effect == "allow" else Rule.deny
    rule = make(*patterns, whom=_whom(given))
    if effect == "allow" and (risks := [pattern.text for pattern in rule.patterns if pattern.is_risk]):
        raise ValueError(f"'{risks[0]}' can only be denied; allow the commands that are meant by their names")
    return rule


def _numbered(rules: Iterable["Rule"]) -> tuple["Rule", ...]:
    """Return rules that say of themselves which they are."""
    return tuple(replace(rule, name=f"rule {number} ({rule})") for number, rule in enumerate(rules, 1))


# -- the command line -----------------------------------------------------------------------------------------------------


def _of_word(text: str) -> "Rule":
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text:.60}' is not a rule; write 'allow' or 'deny', and commands, such as 'deny quit, migrate*'")
    given: dict[str, list[str]] = {}
    for condition in _SEPARATOR.split(found[3]) if found[3] else ():
        key, equals, value = condition.partition("=")
        if key not in _WHOM or not equals or not value:
            raise ValueError(f"'{condition:.60}' does not say for whom; write {'=…, '.join(_WHOM)}=…")
        given.setdefault(key, []).append(value)
    try:
        return _rule(found[1], _SEPARATOR.split(found[2]), given)
    except CommandPatternError as exc:
        raise ValueError(str(exc)) from exc


# -- the file -------------------------------------------------------------------------------------------------------------


def _of_file(value: Any) -> tuple["Rule", ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadValue('write a list of tables: [{ deny = ["quit", "migrate*"], user = "alice" }]')
    return _numbered([_of_table(table, number) for number, table in enumerate(value)])


def _of_table(table: Mapping[str, Any], index: int) -> "Rule":
    effects = [key for key in _EFFECTS if key in table]
    try:
        if unknown := sorted(table.keys() - {*_EFFECTS, *_WHOM}):
            raise BadValue(f"{unknown[0]}: unknown here; the keys of a rule are {_KEYS}")
        if len(effects) != 1:
            raise BadValue("write allow or deny, one of them in each rule")
        given = {key: _words(table[key], is_number_allowed=key == "user") for key in _WHOM if key in table}
        return _rule(effects[0], read_texts(table[effects[0]]), given)
    except (BadValue, AddressError, CommandPatternError, ValueError) as exc:
        raise BadValue(f"rule {index + 1}: {exc}", item=index) from exc


def _words(value: Any, *, is_number_allowed: bool) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return read_texts([str(item) if is_number_allowed and type(item) is int else item for item in values])


# -- mode enforce ---------------------------------------------------------------------------------------------------------


def _allowed_word(text: str) -> str:
    """Raises ValueError. A word with a colon is for a QMP command, as in a rule."""
    if ":" in text:
        try:
            _rule("allow", [text], {})
        except CommandPatternError as exc:
            raise ValueError(str(exc)) from exc
    return text


def _allowed_words(value: Any) -> frozenset[str]:
    try:
        return frozenset(map(_allowed_word, read_texts(value)))
    except ValueError as exc:
        raise BadValue(str(exc)) from exc


ALLOWED_COMMANDS: Final = SettingType(_allowed_words, argument(_allowed_word), frozenset, is_repeatable=True)
RULES: Final = SettingType(_of_file, argument(_of_word), _numbered, is_repeatable=True)
