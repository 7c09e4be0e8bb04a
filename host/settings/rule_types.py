"""How rules about commands (shim/rules/rules.py) are parsed, from words of the command line and from tables of the file.

    rules = [{ allow = ["query-*"] }, { deny = ["quit", "human-monitor-command: q"], user = "alice" }]
    --rule 'allow query-*' --rule 'deny quit, human-monitor-command: q for user=alice'

The modules for rules are imported when the first rule is parsed, because a start without rules is quicker that way.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from host.net.addresses import parse_listen_address
from host.net.socket_access import user_id
from host.settings.bad_value import BadValue, Wrong, meant_by, read_list, unknown_key, within
from host.settings.listener import listener_name
from host.settings.setting_types import SettingType, argument, read_some, text_of_word, with_numbers
from shim.errors import CommandPatternError

if TYPE_CHECKING:
    from shim.rules.rules import CommandPattern, Rule

__all__ = ["ALLOWED_COMMANDS", "RULES"]

_EFFECTS: Final = ("allow", "deny")
_WHOM: Final = ("listener", "user", "executable", "certificate")
_WHOM_KEY: Final = f"(?:{'|'.join(_WHOM)})="
_FORM: Final = re.compile(rf"(allow|deny)\s+(.+?)(?:\s+for\s+({_WHOM_KEY}.*))?", re.DOTALL)
_SEPARATOR: Final = re.compile(r",\s+")
# Conditions that would be taken for part of the value, or of the command, before them.
_NEXT_CONDITION: Final = re.compile(rf"[,;\s]+({_WHOM_KEY})")
_EARLY_CONDITION: Final = re.compile(rf"\s({_WHOM_KEY})")
_UNKNOWN_CONDITION: Final = re.compile(r"\sfor\s+([\w-]+=[^,\s]*)")
_HOW_TO_SAY_WHOM: Final = f"{'=…, '.join(_WHOM)}=…"
_KEYS: Final = f"{' or '.join(_EFFECTS)}, and {', '.join(_WHOM)}"


def _pattern(effect: str, text: str) -> "CommandPattern":
    """Return a pattern of a rule. Raises ValueError."""
    from host.settings.rule_mistakes import check_pattern, hint
    from shim.rules.rules import CommandPattern

    try:
        pattern = CommandPattern.parse(text)
        check_pattern(text)
    except CommandPatternError as exc:
        raise ValueError(f"{exc}{hint(exc.pattern)}") from exc
    if effect == "allow" and pattern.is_risk:
        raise ValueError(f"'{text}' can only be denied; allow the commands that are meant by their names")
    return pattern


def _condition(key: str, text: str) -> str | int:
    """Return one value of a condition as a rule has it. Raises ValueError or AddressError."""
    from host.settings.rule_mistakes import check_certificate, check_executable

    match key:
        case "listener":
            return listener_name(parse_listen_address(text))
        case "user":
            return user_id(text)
        case "executable":
            check_executable(text)
        case "certificate":
            check_certificate(text)
    return text


def _rule(effect: str, patterns: "Iterable[CommandPattern]", given: Mapping[str, Sequence[Any]]) -> "Rule":
    """Return a rule. given: the values of its conditions, as `_condition` returns them."""
    from shim.rules.rules import Rule, Whom

    is_allowed = effect == "allow"
    whom = Whom(*(tuple(given.get(key, ())) for key in _WHOM))
    return Rule(is_allowed, tuple(patterns), whom, is_literal=is_allowed)


def _numbered(rules: Iterable["Rule"]) -> tuple["Rule", ...]:
    """Return the rules with names that begin with their numbers."""
    return tuple(replace(rule, name=f"rule {number} ({rule})") for number, rule in enumerate(rules, 1))


# -- the command line -----------------------------------------------------------------------------------------------------


def _of_word(text: str) -> "Rule":
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text:.60}' is not a rule; write 'allow' or 'deny', and commands, such as 'deny quit, migrate*'")
    _refuse_whom_among_commands(found[2])
    given = _conditions(found[3]) if found[3] else {}
    whom = {key: [_condition(key, value) for value in values] for key, values in given.items()}
    return _rule(found[1], [_pattern(found[1], text) for text in _SEPARATOR.split(found[2])], whom)


def _refuse_whom_among_commands(commands: str) -> None:
    if unknown := _UNKNOWN_CONDITION.search(commands):
        raise ValueError(f"'{unknown[1]:.60}' does not say for whom; write {_HOW_TO_SAY_WHOM}")
    if early := _EARLY_CONDITION.search(commands):
        raise ValueError(f"write 'for' before the first '{early[1]}', such as 'deny quit for {early[1]}…'")


def _conditions(text: str) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    last = ""
    for condition in _SEPARATOR.split(text):
        key, equals, value = condition.partition("=")
        if last and condition and not equals:
            raise ValueError(f"'{condition:.60}' has no key; repeat it: {last}={given[last][-1]:.60}, {last}={condition:.60}")
        if key not in _WHOM or not value.strip():
            raise ValueError(f"'{condition:.60}' does not say for whom; write {_HOW_TO_SAY_WHOM}")
        _refuse_several(key, value)
        given.setdefault(key, []).append(value)
        last = key
    return given


def _refuse_several(key: str, value: str) -> None:
    """Raise ValueError for several values written as one. In a file, a value may contain a comma."""
    if following := _NEXT_CONDITION.search(value):
        meant = f"{key}={value[: following.start()]}, {value[following.start(1) :]}"
        raise ValueError(f"'{key}={value:.60}' is one value; write a comma and a blank between two: 'for {meant:.80}'")
    if "," in value and key != "listener":
        meant = ", ".join(f"{key}={part}" for part in value.split(","))
        raise ValueError(f"'{key}={value:.60}' is one value; repeat the key: {meant:.80}")


# -- the file -------------------------------------------------------------------------------------------------------------


def _of_file(value: Any) -> tuple["Rule", ...]:
    if not isinstance(value, list) or (value and not any(isinstance(item, dict) for item in value)):
        raise BadValue('write a list of tables: [{ deny = ["quit", "migrate*"], user = "alice" }]')
    return _numbered(read_list(value, _of_table, "rule"))


def _of_table(table: Any) -> "Rule":
    if not isinstance(table, dict):
        raise BadValue('write a table: { deny = ["quit", "migrate*"], user = "alice" }')
    wrong: list[Wrong] = []
    values: dict[str, list[Any]] = {}
    for key, value in table.items():
        if key in _EFFECTS:
            values[key] = within(key, key, partial(_some, key, partial(_pattern, key)), value, wrong) or []
        elif key in _WHOM:
            values[key] = within(key, key, partial(_some, key, partial(_condition, key)), value, wrong) or []
        else:
            wrong.append(Wrong(f"{key}: {unknown_key(key, (*_EFFECTS, *_WHOM), f'the keys of a rule are {_KEYS}')}", (key,)))
    effects = [key for key in _EFFECTS if key in table]
    if len(effects) > 1 or not (effects or any(map(_may_be_effect, table.keys() - values.keys()))):
        wrong.append(Wrong("write allow or deny, one of them in each rule"))
    if wrong:
        raise BadValue(*wrong)
    return _rule(effects[0], values[effects[0]], values)


def _may_be_effect(unknown: str) -> bool:
    """Return whether an unknown key may stand for allow or deny: unless it looks like another key, and not like these."""
    meant = meant_by(unknown, (*_EFFECTS, *_WHOM))
    return not meant or not {*_EFFECTS}.isdisjoint(meant)


def _some(key: str, read: Callable[[str], Any], value: Any) -> list[Any]:
    """Read one word or several. An empty list would be a rule for no command, or for everybody."""
    if value == []:
        raise BadValue(f"name at least one {'command' if key in _EFFECTS else key}, or drop it")
    return read_some(with_numbers(value) if key == "user" else value, read)


# -- mode enforce ---------------------------------------------------------------------------------------------------------


def _allowed_word(text: str) -> str:
    """Check a word of `allow`, and return it. Raises ValueError. A word with a colon is for a QMP command, as in a rule."""
    if ":" in text:
        _pattern("allow", text)
    return text_of_word(text)


def _allowed_words(value: Any) -> frozenset[str]:
    return frozenset(read_some(value, _allowed_word))


ALLOWED_COMMANDS: Final = SettingType(_allowed_words, argument(_allowed_word), frozenset, is_repeatable=True)
RULES: Final = SettingType(_of_file, argument(_of_word), _numbered, is_repeatable=True)
