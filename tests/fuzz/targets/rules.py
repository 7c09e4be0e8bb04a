"""Rules about commands: what is denied is denied in every spelling, and nothing that was seen before changes a verdict.

The first line is rules, such as `deny quit, migrate*; allow *`; the rest is what a client sends.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from proxy.qmp_json.framing import Command, CommandFramer
from proxy.sessions.session import Session
from shim.client import Client
from shim.errors import CommandPatternError
from shim.graph.policy import Policy
from shim.qmp import JSON
from shim.rules.asked import Asked
from shim.rules.permissions import Permissions, Role
from shim.rules.rules import ClientRules, Rule
from tests.fuzz.targets.hmp import hmp_name
from tests.support.routing.pure_router import a_session
from tests.support.streams import OLDER, read_all

__all__ = ["COVERS", "WORDS", "check"]

COVERS: Final = (
    "shim/rules/rules.py",
    "shim/rules/asked.py",
    "shim/rules/deeds.py",
    "shim/rules/risks.py",
    "shim/rules/permissions.py",
)
WORDS: Final = (
    *b"allow deny quit migrate* query-* * x-quit @monitor @exec object-add transaction query-name query-status".split(),
    *b"human-monitor-command exec-oob execute arguments command-line actions channels uri qom-type monitor-qmp exec:".split(),
    *(b"; ", b", ", b": ", b"human-monitor-command: savevm *", b"object-add: monitor-*", b"\n"),
    *(b'{"execute": "quit"}', b'{"execute": "query-name"}\r\n', b'{"exec-oob": "quit"}'),
    b'{"execute": "human-monitor-command", "arguments": {"command-line": "q"}}',
    b'{"execute": "object-add", "arguments": {"qom-type": "monitor-qmp", "id": "m"}}',
    b'{"execute": "human-monitor-command", "arguments": {"command-line": "netdev_add tap,script=no"}}',
    *(b"add_client set_password display-update netdev_add helper smb authz-simple qom-set property verify-peer".split()),
    *(b",script=no", b",,", b"noscript", b"chardev-add: ringbuf", b"memory", b"tty"),
    b'{"execute": "transaction", "arguments": {"actions": [{"type": "quit", "data": {}}]}}',
)
_DENIES_ALL: Final = ClientRules([(Rule.deny("*", name="another rule"),)])
_DENIES_RISKS: Final = Rule.deny("quit", "@monitor", "@exec", name="front")
# What a pattern is compared with: a command's own names, its twins, and 64 types of actions with theirs.
_MOST_DEEDS: Final = 140
_ALLOWS_QUERIES: Final = ClientRules([(Rule.allow("query-*", name="queries"), Rule.deny("*", name="rest"))])
_DISPLAYS: Final = frozenset(("add-client", "set-password", "expire-password", "change-vnc-password", "display-update"))
_READING: Final = frozenset((b"info", b"help", b"?"))


def check(data: bytes) -> None:
    """Fail unless the verdicts on what the client sends agree with each other, and with a simpler reading."""
    head, _, stream = data.partition(b"\n")
    try:
        rules = _rules(head.decode(errors="replace"))
    except CommandPatternError:
        return
    judge = ClientRules([rules])
    items = read_all(CommandFramer(OLDER), stream)
    messages = [item.message for item in items if isinstance(item, Command)]
    for message in messages:
        _check_one(judge, rules, message)
    for message in messages:
        assert judge.judge(message) == ClientRules([rules]).judge(message), "another verdict after others"
    _check_short_way(judge, rules, stream, messages)


def _rules(text: str) -> tuple[Rule, ...]:
    rules = []
    for number, part in enumerate(text.split(";")):
        effect, _, patterns = part.strip().partition(" ")
        make = Rule.allow if effect == "allow" else Rule.deny
        rules.append(make(*patterns.split(", "), name=f"rule {number}"))
    return tuple(rules)


def _check_one(judge: ClientRules, rules: tuple[Rule, ...], message: Mapping[str, JSON]) -> None:
    verdict = judge.judge(message)
    assert verdict == ClientRules([rules]).judge(message), "another verdict at another time"
    if not verdict.is_allowed:
        assert verdict.text == _DENIES_ALL.judge(message).text, "the text tells which rule it was"
        verdict.text.encode()
    assert not _DENIES_ALL.judge(message).is_allowed
    stricter = ClientRules([(_DENIES_RISKS, *rules)]).judge(message)
    assert verdict.is_allowed or not stricter.is_allowed, "a rule that denies has allowed"
    assert len(Asked.of(message).equivalents) <= _MOST_DEEDS, "there is no bound to it"
    if _quits(message) or _makes_monitor(message) or _runs_program(message):
        assert not stricter.is_allowed, "it is denied, and got through"
        # One with both keys is refused by QEMU.
        assert {"execute", "exec-oob"} <= message.keys() or not _read_only().judge(message).is_allowed, "it is no question"
    if _ALLOWS_QUERIES.judge(message).is_allowed:
        name = message.get("execute", message.get("exec-oob"))
        assert isinstance(name, str)
        assert name.replace("_", "-").startswith("query-"), f"{name!r} is no query"
    if (name := _hmp(message)) is not None and name not in _READING:
        assert not _read_only().judge(message).is_allowed, f"{name!r} is no question"


@cache
def _read_only() -> ClientRules:
    rules = Permissions(role=Role.READ_ONLY).rules_for(Client(), Policy())
    assert rules is not None
    return rules


def _names(message: Mapping[str, JSON]) -> set[str]:
    """Return the names of commands in a message, as they are for good."""
    names = [message.get("execute"), message.get("exec-oob")]
    match message.get("arguments"):
        case {"actions": list(actions)} if message.get("execute") == "transaction":
            names += [action.get("type") for action in actions if isinstance(action, dict)]
    return {name.replace("_", "-").removeprefix("x-") for name in names if isinstance(name, str)}


def _hmp(message: Mapping[str, JSON]) -> bytes | None:
    match message:
        case {"execute": "human-monitor-command", "arguments": {"command-line": str(line)}}:
            return hmp_name(line)
    return None


def _quits(message: Mapping[str, JSON]) -> bool:
    return "quit" in _names(message) or _hmp(message) in (b"quit", b"q")


def _makes_monitor(message: Mapping[str, JSON]) -> bool:
    match message:
        case {"execute": str(), "arguments": {"qom-type": str(kind)}} if "object-add" in _names(message):
            return kind.startswith(("monitor-", "authz-"))
    return not _DISPLAYS.isdisjoint(_names(message)) or _hmp(message) in (b"set_password", b"gdbserver")


def _runs_program(message: Mapping[str, JSON]) -> bool:
    match message:
        case {"execute": "netdev_add", "arguments": {"helper": str()} | {"smb": str()}}:
            return True
        case {"execute": "human-monitor-command", "arguments": {"command-line": str(line)}} if hmp_name(line) == b"netdev_add":
            return any(value not in (None, "no") for name, value in _options(line) if name == "script")
    return False


def _options(line: str) -> Iterator[tuple[str, str | None]]:
    """Read an option string character by character, as QEMU does (util/qemu-option.c)."""
    rest = line.strip().partition("netdev_add")[2].strip()
    while rest:
        end = next((place for place, char in enumerate(rest) if char in "=,"), len(rest))
        name, mark, rest = rest[:end], rest[end : end + 1], rest[end + 1 :]
        value = ""
        while mark == "=" and rest and (rest[0] != "," or rest.startswith(",,")):
            value, rest = value + rest[0], rest[2:] if rest[0] == "," else rest[1:]
        yield name, value if mark == "=" else None
        if mark == "=":
            rest = rest[1:]


def _check_short_way(judge: ClientRules, rules: tuple[Rule, ...], stream: bytes, messages: list[dict[str, JSON]]) -> None:
    """What is forwarded without a look is allowed."""
    session: Session = a_session(negotiated=True)
    session.rules = judge
    if session.count_plain(stream, len(stream)):
        assert messages
        assert all(ClientRules([rules]).judge(message).is_allowed for message in messages)
