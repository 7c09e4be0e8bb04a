"""Rules that can match nothing are refused, and those that can match something are not."""

import pytest

from host.settings.rule_mistakes import check_certificate, check_executable, check_pattern, hint
from shim.errors import CommandPatternError
from shim.qmp import JSON
from shim.rules.asked import Asked
from shim.rules.rules import CommandPattern, Rule


@pytest.mark.parametrize(
    "text",
    [
        *("quit", "query-*", "query_[a-c]*", "[!q]*", "*", "x-?*", "@monitor", "@exec", "block-[]a]*"),
        *("object-add: monitor-*", "device_add: SUNW,tcx", "chardev-add: [a-z]*"),
        *("migrate: exec:*", "migrate: *", "migrate: tcp:[[]::1]:*", "migrate: tcp:[*", "snapshot-save: a [b"),
        *("human-monitor-command: ?", "human-monitor-command: info block [x", "human-monitor-command: savevm [x"),
        *("human-monitor-command: *", "human_monitor_command: info b*", "human-monitor-command: drive_add 0 user=x,*"),
    ],
)
def test_pattern_that_may_match_is_accepted(text: str) -> None:
    CommandPattern.parse(text)
    check_pattern(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[quit", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ("quit]", "']' has no matching bracket; write a set of characters as '[a-z]'"),
        ("[]quit", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ("quit[!]", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ("!quit", "'!' matches nothing: names have only lower-case letters, digits, '-' and '_'"),
        ("Quit", "'Q' matches nothing: names have only lower-case letters, digits, '-' and '_'"),
        ("[z-a]*", "'[z-a]' matches nothing: names have only lower-case letters, digits, '-' and '_'"),
        (
            "object-add: monitor-* for uid=0",
            "name the clients of a rule under keys of their own, not among its commands",
        ),
        ("object-add: monitor qmp", "' ' matches nothing: names of types have no blanks and no brackets"),
        ("transaction: [abort", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ("migrate: exec", "it matches no URI; write 'exec:*'"),
        ("migrate-incoming: exec:", "it matches no URI; write 'exec:*'"),
        ("migrate: tcp:[::1]:*", "'[::1]' stands for one of the characters in it; write '[[]::1]' for that address"),
        ("human-monitor-command: [quit", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ("human-monitor-command: info [block", "'[' has no matching bracket; write a set of characters as '[a-z]'"),
        ('human-monitor-command: "quit"', "'\"' matches nothing: names have only lower-case letters, "),
        ("human-monitor-command: x/8x", "'/' matches nothing: names have only lower-case letters, digits, '-' and '_'"),
        ("human-monitor-command: quit,stop", "',' matches nothing: names have only lower-case letters, digits, '-' and"),
    ],
)
def test_pattern_that_can_match_nothing_is_refused(text: str, why: str) -> None:
    CommandPattern.parse(text)
    with pytest.raises(CommandPatternError) as error:
        check_pattern(text)
    assert error.value.reason.startswith(why)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("migrate: tcp:[[]::1]:*", {"execute": "migrate", "arguments": {"uri": "tcp:[::1]:4444"}}),
        ("migrate: exec:*", {"execute": "migrate", "arguments": {"uri": "exec:cat"}}),
    ],
)
def test_what_the_texts_advise_matches(text: str, message: dict[str, JSON]) -> None:
    assert Rule.deny(text).decides(Asked.of(message))


def test_names_of_clients_that_can_hold_for_nobody_are_refused() -> None:
    for path in ("/usr/bin/virsh", "*/virsh", "/opt/a b/c,d"):
        check_executable(path)
    for path in ("python", "./a", "?bin/a", "~/a", " /a", "/a ", "/usr/bin/"):
        with pytest.raises(ValueError, match="is not the path of an executable; write it from the root"):
            check_executable(path)
    for name in ("ci", "*.example.org", "J. Doe, Jr"):
        check_certificate(name)
    for name, why in (("*", "wildcards"), ("ci-*", "wildcards"), ("CN=ci", "alone"), ("a, O=b", "alone"), ("ci ", "blank")):
        with pytest.raises(ValueError, match=why):
            check_certificate(name)


def test_hint_is_for_what_is_often_meant() -> None:
    assert hint("quit,migrate*") == "; write ', ' between commands"
    assert hint("info *") == "; an HMP command is written 'human-monitor-command: info *'"
    assert hint("quit for all") == ""
