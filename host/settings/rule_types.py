"""How rules about commands (shim/rules/rules.py) are parsed, from words of the command line and from tables of the file.

    rules = [{ allow = ["query-*"] }, { deny = ["quit", "human-monitor-command: q"], user = "alice" }]
    --rule 'allow query-*' --rule 'deny quit, human-monitor-command: q for user=alice'

The modules for rules are imported when the first rule is parsed, because a start without rules is quicker that way.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from host.errors import AddressError
from host.net.addresses import parse_listen_address
from host.net.socket_access import user_id
from host.settings.listener import listener_name
from host.settings.setting_types import BadValue, SettingType, argument, read_texts, text_of_word
from shim.errors import CommandPatternError

if TYPE_CHECKING:
    from shim.rules.rules import Rule, Whom

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


def _whom(given: Mapping[str, Sequence[str]]) -> "Whom":
    """Return the clients that conditions describe. Raises ValueError or AddressError."""
    from host.settings.rule_mistakes import check_certificates, check_executables
    from shim.rules.rules import Whom

    check_executables(given.get("executable", ()))
    check_certificates(given.get("certificate", ()))
    return Whom(
        listeners=tuple(listener_name(parse_listen_address(text)) for text in given.get("listener", ())),
        uids=tuple(map(user_id, given.get("user", ()))),
        executables=tuple(given.get("executable", ())),
        certificates=tuple(given.get("certificate", ())),
    )


def _rule(effect: str, patterns: Sequence[str], given: Mapping[str, Sequence[str]]) -> "Rule":
    """Return a rule. Raises ValueError or AddressError."""
    from host.settings.rule_mistakes import check_pattern, hint
    from shim.rules.rules import Rule

    make = Rule.allow if effect == "allow" else Rule.deny
    whom = _whom(given)
    try:
        rule = make(*patterns, whom=whom)
        for pattern in patterns:
            check_pattern(pattern)
    except CommandPatternError as exc:
        raise ValueError(f"{exc}{hint(exc.pattern)}") from exc
    if effect == "allow" and (risks := [pattern.text for pattern in rule.patterns if pattern.is_risk]):
        raise ValueError(f"'{risks[0]}' can only be denied; allow the commands that are meant by their names")
    return rule


def _numbered(rules: Iterable["Rule"]) -> tuple["Rule", ...]:
    """Return the rules with names that begin with their numbers."""
    return tuple(replace(rule, name=f"rule {number} ({rule})") for number, rule in enumerate(rules, 1))


# -- the command line -----------------------------------------------------------------------------------------------------


def _of_word(text: str) -> "Rule":
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"'{text:.60}' is not a rule; write 'allow' or 'deny', and commands, such as 'deny quit, migrate*'")
    _refuse_whom_among_commands(found[2])
    return _rule(found[1], _SEPARATOR.split(found[2]), _conditions(found[3]) if found[3] else {})


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
        given = {key: _words(key, table[key]) for key in _WHOM if key in table}
        return _rule(effects[0], _words(effects[0], table[effects[0]]), given)
    except (BadValue, AddressError, ValueError) as exc:
        raise BadValue(f"rule {index + 1}: {exc}", item=index) from exc


def _words(key: str, value: Any) -> list[str]:
    """Parse one word or several. An empty list would be a rule for no command, or for everybody."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadValue(f"{key}: name at least one {'command' if key in _EFFECTS else key}, or drop it")
    return read_texts([str(item) if key == "user" and type(item) is int else item for item in values])


# -- mode enforce ---------------------------------------------------------------------------------------------------------


def _allowed_word(text: str) -> str:
    """Check a word of `allow`, and return it. Raises ValueError. A word with a colon is for a QMP command, as in a rule."""
    if ":" in text:
        _rule("allow", [text], {})
    return text_of_word(text)


def _allowed_words(value: Any) -> frozenset[str]:
    try:
        return frozenset(map(_allowed_word, read_texts(value)))
    except ValueError as exc:
        raise BadValue(str(exc)) from exc


ALLOWED_COMMANDS: Final = SettingType(_allowed_words, argument(_allowed_word), frozenset, is_repeatable=True)
RULES: Final = SettingType(_of_file, argument(_of_word), _numbered, is_repeatable=True)
