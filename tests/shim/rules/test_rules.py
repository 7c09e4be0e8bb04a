"""Which rule decides about a command, and what its patterns mean."""

import random
from typing import Any, Final

import pytest

from shim.client import Client
from shim.errors import CommandPatternError
from shim.hmp.line import HMPLine
from shim.rules.asked import Asked
from shim.rules.rules import ClientRules, CommandPattern, Rule, Verdict, Whom
from tests.support.shim.commands import hmp_message, message

MONITOR_QMP: Final = message("object-add", qom_type="monitor-qmp", id="m")


def denies(pattern: str, command: dict[str, Any]) -> bool:
    return Rule.deny(pattern).decides(Asked.of(command))


def allows(pattern: str, command: dict[str, Any]) -> bool:
    return Rule.allow(pattern).decides(Asked.of(command))


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("quit", message("quit")),
        ("*", message("quit")),
        ("query-*", message("query-status")),
        ("device-add", message("device_add", driver="x")),
        ("device_add", message("device_add", driver="x")),
        ("migrate*", message("migrate_cancel")),
        ("object-add: monitor-*", MONITOR_QMP),
        ("object-add:monitor-qmp", MONITOR_QMP),
        ("migrate: exec:*", message("migrate", uri="exec:cat")),
        ("transaction: drive-*", message("transaction", actions=[{"type": "drive-backup"}])),
        ("human-monitor-command", hmp_message("info status")),
        ("human-monitor-command: info *", hmp_message("info status")),
        ("human-monitor-command: info *", hmp_message("info")),
        ("human-monitor-command: info status", hmp_message(" info \t status")),
        ("human-monitor-command: info block -v d*", hmp_message("info  block  -v\td0")),
        ("human-monitor-command: savevm *", hmp_message("savevm t")),
        ("human-monitor-command: savevm *", hmp_message("savevm")),
        ("human-monitor-command: savevm", hmp_message("savevm t")),
        ("human-monitor-command: savevm auto-*", hmp_message('savevm "auto-1"')),
        ("human-monitor-command: q", hmp_message("quit")),
        ("human-monitor-command: quit", hmp_message("q")),
        ("human-monitor-command: migrate-*", hmp_message("migrate_cancel")),
        ("human-monitor-command: *", hmp_message("nosuch")),
        ("human_monitor_command: x", hmp_message("x/10i 0")),
    ],
)
def test_pattern_means_a_command(pattern: str, command: dict[str, Any]) -> None:
    assert denies(pattern, command)
    assert allows(pattern, command)


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        # By HMP.
        ("quit", hmp_message("quit")),
        ("quit", hmp_message("q")),
        ("query-status", hmp_message("info status")),
        ("savevm", hmp_message("savevm t")),
        ("drive_add", hmp_message("drive_add x")),
        ("migrate*", hmp_message("migrate_set_capability x on")),
        ("object-add: monitor-*", hmp_message("object_add monitor-hmp,id=m")),
        ("snapshot-save: keep-*", hmp_message("savevm keep-1")),
        # Under trial.
        ("blockdev-reopen", message("x-blockdev-reopen")),
        ("x-blockdev-reopen", message("blockdev-reopen")),
        ("object-add: monitor-*", message("x-object-add", qom_type="monitor-qmp")),
        # In a transaction.
        ("drive-backup", message("transaction", actions=[{"type": "abort"}, {"type": "drive-backup"}])),
        # With both keys.
        ("quit", {"execute": "query-status", "exec-oob": "quit"}),
        # What cannot be told.
        ("object-add: monitor-*", message("object-add")),
        ("object-add: monitor-*", hmp_message('object_add "rng"')),
        ("human-monitor-command: quit", hmp_message("")),
        ("human-monitor-command: quit", message("human-monitor-command", command_line=1)),
        ("human-monitor-command: eject d*", hmp_message('eject "d0"')),
        ("migrate: exec:*", message("migrate", uri="tcp:a:1", channels=[{"addr": {"transport": "exec", "args": []}}])),
        # Risks.
        ("@monitor", MONITOR_QMP),
        ("@exec", message("migrate", uri="exec:cat")),
    ],
)
def test_only_a_rule_that_denies_goes_beyond_the_spelling(pattern: str, command: dict[str, Any]) -> None:
    assert denies(pattern, command)
    assert not allows(pattern, command)


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("quit", message("quit2")),
        ("quit", message("Quit")),
        ("quit", hmp_message("info quit")),
        ("query-*", message("xquery-status")),
        ("object-add: monitor-*", message("object-add", qom_type="rng-builtin")),
        ("object-add: monitor-*", message("object-del", id="monitor-qmp")),
        ("human-monitor-command: info status", hmp_message("info statusx")),
        ("human-monitor-command: savevm", hmp_message("info savevm")),
        ("human-monitor-command: info *", message("info status")),
        ("human-monitor-command: savevm auto-*", hmp_message("savevm t")),
        ("human-monitor-command: i", hmp_message("info status")),
        ("human-monitor-command: quit", message("quit")),
        ("@exec", MONITOR_QMP),
        ("quit", {}),
    ],
)
def test_pattern_does_not_mean_a_command(pattern: str, command: dict[str, Any]) -> None:
    assert not denies(pattern, command)
    assert not allows(pattern, command)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write the name of a QMP command, with wildcards, or @monitor or @exec"),
        (": x", "write the name of a QMP command, with wildcards, or @monitor or @exec"),
        ("info status", "write the name of a QMP command, with wildcards, or @monitor or @exec"),
        ("@nosuch", "write the name of a QMP command, with wildcards, or @monitor or @exec"),
        ("quit:", "there is nothing after the colon"),
        ("quit: x", "a value can follow only add-client, change-vnc-password, chardev-add, chardev-change, device-add, "),
        ("object-*: x", "a value can follow only add-client, "),
    ],
)
def test_pattern_without_a_meaning_is_an_error(text: str, why: str) -> None:
    with pytest.raises(CommandPatternError) as error:
        CommandPattern.parse(text)
    assert error.value.reason.startswith(why)


def test_first_rule_that_matches_decides() -> None:
    rules = ClientRules([(Rule.allow("query-status", name="a"), Rule.deny("query-*", name="b"), Rule.allow("*", name="c"))])
    assert rules.judge(message("query-status")) == Verdict(True, "a")
    assert rules.judge(message("query-name")) == Verdict(False, "b", "Command 'query-name'")
    assert rules.judge(message("stop")) == Verdict(True, "c")


def test_what_no_rule_decides_is_allowed() -> None:
    rules = ClientRules([(Rule.deny("quit", name="a"),)])
    assert rules.judge(message("stop")) == Verdict(True, "default, as no rule matches it")


def test_verdict_says_what_has_decided() -> None:
    rules = ClientRules([(Rule.deny("quit", name="rule 1 (deny quit)"),)])
    assert str(rules.judge(message("stop"))) == "allowed by default, as no rule matches it"
    assert str(rules.judge_line(HMPLine.read("q"))) == "denied by rule 1 (deny quit)"


def test_command_has_to_pass_every_layer() -> None:
    rules = ClientRules([(Rule.allow("*", name="a"),), (Rule.deny("@exec", name="b"),)])
    assert rules.judge(message("quit")) == Verdict(True, "a")
    assert rules.judge(message("migrate", uri="exec:x")).reason == "b"


def test_denied_hmp_command_is_named() -> None:
    rules = ClientRules([(Rule.deny("human-monitor-command", name="a"),)])
    assert rules.judge(hmp_message("info  status -x")).text == "HMP command 'info status' is not allowed here"
    assert rules.judge(hmp_message("")).text == "Command 'human-monitor-command' is not allowed here"


def test_text_has_a_bound() -> None:
    text = ClientRules([(Rule.deny("*"),)]).judge(message("x" * 1000)).text
    assert text == f"Command '{'x' * 100}' is not allowed here"


def test_kept_verdict_is_that_of_the_first_look() -> None:
    """Also where a command depends on its arguments: those are looked at each time."""
    rules = ClientRules([(Rule.deny("object-add: monitor-*", "quit", "@exec", "human-monitor-command: q"),)])
    for _ in range(3):
        assert not rules.judge(MONITOR_QMP).is_allowed
        assert rules.judge(message("object-add", qom_type="rng-builtin")).is_allowed
        assert not rules.judge(message("quit")).is_allowed
        assert not rules.judge(message("quit", x=1)).is_allowed
        assert rules.judge(message("stop")).is_allowed
        assert not rules.judge({"execute": "stop", "exec-oob": "quit"}).is_allowed
        assert not rules.judge({"exec-oob": "quit"}).is_allowed
        assert rules.judge(hmp_message("info status")).is_allowed
        assert not rules.judge(hmp_message("q")).is_allowed
    assert rules.allowed_names == {b"stop"}


def test_client_cannot_fill_the_memory_with_names() -> None:
    rules = ClientRules([(Rule.deny("quit"),)])
    for number in range(5000):
        assert rules.judge(message(f"name{number}")).is_allowed
    assert rules.judge(message("x" * 65)).is_allowed
    assert len(rules.allowed_names) == 64
    assert not rules.judge(message("quit")).is_allowed


def test_verdict_about_an_out_of_band_command_is_kept_like_another() -> None:
    """With the same care: what `migrate-recover` does depends on its arguments, and rules look at them."""
    judged: list[str] = []

    class Noting(Rule):
        def decides(self, asked: Asked) -> bool:
            judged.append(asked.name)
            return super().decides(asked)

    deny = Rule.deny("quit", "@exec", "migrate-recover: tcp:*")
    rules = ClientRules([(Noting(deny.is_allowed, deny.patterns),)])
    for _ in range(3):
        assert rules.judge({"exec-oob": "migrate-pause"}).is_allowed
        assert not rules.judge({"exec-oob": "quit", "arguments": {"x": 1}}).is_allowed
        assert not rules.judge({"exec-oob": "migrate-recover", "arguments": {"uri": "exec:cat"}}).is_allowed
        assert not rules.judge({"exec-oob": "migrate-recover", "arguments": {"uri": "tcp:h:1"}}).is_allowed
        assert rules.judge({"exec-oob": "migrate-recover", "arguments": {"uri": "unix:/s"}}).is_allowed
        assert not rules.judge({"execute": "migrate-pause", "exec-oob": "quit"}).is_allowed
        assert not rules.judge({"execute": None, "exec-oob": "quit"}).is_allowed
    assert judged.count("migrate-pause") == 1 + 3
    assert judged.count("migrate-recover") == 9


class Counting:
    """A pattern of a name or a value that fits nothing, and counts."""

    def __init__(self, fits: bool) -> None:
        self.count = 0
        self._fits = fits

    def fullmatch(self, text: str) -> bool | None:
        self.count += 1
        assert len(text) <= 4096
        return True if self._fits else None


def _channel(transport: str) -> dict[str, Any]:
    return {"addr": {"transport": transport, "filename": "f"}}


HOSTILE: Final = (
    message("transaction", actions=[{"type": "a"}] * 80_000),
    message("transaction", actions=[{"type": f"a{number}"} for number in range(60_000)]),
    message("transaction", actions=[{"type": f"a{number % 64}"} for number in range(4096)]),
    message("transaction", actions=[{"type": "a" * 16_000 + str(number)} for number in range(64)]),
    message("migrate", channels=[_channel("file")] * 20_000),
    message("migrate", channels=[_channel("file")] * 16),
    message("migrate", channels=[{"addr": {"transport": "exec", "args": ["a"] * 200_000}}]),
    message("migrate", uri="x" * 1_000_000),
    message("x" * 1_000_000),
    {"execute": "x" * 500_000, "exec-oob": "y" * 500_000},
    hmp_message("netdev_add " + "a," * 500_000),
    hmp_message("savevm " + " " * 1_000_000),
)


@pytest.mark.parametrize("command", HOSTILE, ids=range(len(HOSTILE)))
def test_judgement_has_a_bound(command: dict[str, Any]) -> None:
    """Of up to 1 MiB a pattern is compared with so much only, and never with anything long."""
    name, value = Counting(fits=True), Counting(fits=False)
    pattern = CommandPattern("counting", name, value, None, False)  # type: ignore[arg-type]
    ClientRules([(Rule(False, (pattern,)),)]).judge(command)
    assert name.count <= 140
    assert value.count <= 140


@pytest.mark.parametrize("command", [HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[-1]])
def test_what_is_too_large_is_denied_unless_its_name_decides(command: dict[str, Any]) -> None:
    verdict = ClientRules([(Rule.deny("quit"),)]).judge(command)
    assert (verdict.is_allowed, verdict.reason) == (False, "default, as it is too long to be examined")
    assert ClientRules([(Rule.allow("*", name="a"), Rule.deny("quit"))]).judge(command) == Verdict(True, "a")
    assert ClientRules([(Rule.deny(command["execute"], name="a"),)]).judge(command).reason == "a"


def test_rule_about_a_chardev_holds_for_both_of_its_names() -> None:
    for kind, other in (("memory", "ringbuf"), ("ringbuf", "memory"), ("serial", "tty"), ("parallel", "parport")):
        assert denies(f"chardev-add: {kind}", message("chardev-add", id="c", backend={"type": other, "data": {}}))
        assert denies(f"chardev-add: {kind}", hmp_message(f"chardev-add {other},id=c"))
        assert denies(f"chardev-change: {kind}", hmp_message(f"chardev-change c {other}"))
        assert not denies("chardev-add: null", hmp_message(f"chardev-add {other},id=c"))
        assert not allows(f"chardev-add: {kind}", message("chardev-add", id="c", backend={"type": other, "data": {}}))


@pytest.mark.parametrize(
    ("whom", "client"),
    [
        (Whom(), Client()),
        (Whom(uids=(0, 7)), Client(uid=7)),
        (Whom(listeners=("unix:/a",)), Client(listener="unix:/a")),
        (Whom(executables=("/usr/bin/*",)), Client(exe="/usr/bin/tool")),
        (Whom(certificates=("alice",)), Client(certificate="alice")),
        (Whom(uids=(7,), executables=("/bin/x", "/bin/y")), Client(uid=7, exe="/bin/y")),
    ],
)
def test_rule_is_for_a_client(whom: Whom, client: Client) -> None:
    assert whom.fits(client)


@pytest.mark.parametrize(
    ("whom", "client"),
    [
        (Whom(uids=(0,)), Client()),
        (Whom(uids=(0,)), Client(uid=7)),
        (Whom(listeners=("unix:/a",)), Client(listener="unix:/ab")),
        (Whom(listeners=("unix:/a",)), Client()),
        (Whom(executables=("/usr/bin/*",)), Client(exe="/bin/tool")),
        (Whom(executables=("*",)), Client()),
        (Whom(certificates=("alice",)), Client(certificate="bob")),
        (Whom(uids=(7,), executables=("/bin/x",)), Client(uid=7, exe="/bin/y")),
    ],
)
def test_rule_is_not_for_a_client(whom: Whom, client: Client) -> None:
    assert not whom.fits(client)


def test_rule_says_what_it_does() -> None:
    assert str(Rule.deny("quit", "migrate*")) == "deny quit, migrate*"
    assert str(Rule.allow("object-add: rng-*")) == "allow object-add: rng-*"


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_rules_lets_through_what_is_denied_first(seed: int) -> None:
    rng = random.Random(seed)
    others = [Rule.allow("*"), Rule.allow("human-monitor-command"), Rule.deny("stop"), Rule.allow("quit")]
    rng.shuffle(others)
    rules = ClientRules([(Rule.deny("quit", name="first"), *others)])
    for command in (message("quit"), hmp_message("q"), hmp_message(" quit\t"), message("x-quit"), {"exec-oob": "quit"}):
        assert rules.judge(command).reason == "first"
