"""Rules as an operator writes them, on the command line and in the file, and how a mistake is told."""

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from host.configuration.config_file import load_config_file
from host.errors import ConfigError
from host.settings.bad_value import BadValue
from host.settings.config import VMConfig
from host.settings.rule_types import ALLOWED_COMMANDS, RULES
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from shim.rules.permissions import Role
from shim.rules.rules import Rule, Whom

WIRE: Final = ("--upstream", "unix:/q", "--listen", "unix:/l")
VM: Final = '[[vm]]\nupstream = "unix:/q"\nlisten = ["unix:/l", { address = "hold:unix:/m", role = "read-only" }]\n'
FORM: Final = "write 'allow' or 'deny', and commands, such as 'deny quit, migrate*'"
KEYS: Final = "allow or deny, and listener, user, executable, certificate"


def of_word(text: str) -> Rule:
    assert RULES.from_word is not None
    rule: Rule = RULES.from_word(text)
    return rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("deny quit", Rule.deny("quit")),
        ("  allow  query-* ", Rule.allow("query-*")),
        ("deny quit, migrate*,\tobject-add: monitor-*", Rule.deny("quit", "migrate*", "object-add: monitor-*")),
        ("deny @monitor, @exec", Rule.deny("@monitor", "@exec")),
        (
            "allow human-monitor-command: drive_add x if=none,id=*",
            Rule.allow("human-monitor-command: drive_add x if=none,id=*"),
        ),
        ("deny quit for user=0", Rule.deny("quit", whom=Whom(uids=(0,)))),
        ("deny quit for user=root, user=7", Rule.deny("quit", whom=Whom(uids=(0, 7)))),
        (
            "allow * for listener=hold:unix:/m, executable=/usr/bin/*, certificate=alice",
            Rule.allow("*", whom=Whom(("unix:/m",), (), ("/usr/bin/*",), ("alice",))),
        ),
    ],
)
def test_rule_is_read_from_a_word(text: str, rule: Rule) -> None:
    assert of_word(text) == rule


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", f"'' is not a rule; {FORM}"),
        ("quit", f"'quit' is not a rule; {FORM}"),
        ("deny", f"'deny' is not a rule; {FORM}"),
        ("refuse quit", f"'refuse quit' is not a rule; {FORM}"),
        ("deny quit for all", "invalid command pattern 'quit for all': write the name of a QMP command, with wildcards, or "),
        ("deny quit for user=0, pid=1", "'pid=1' does not say for whom; write listener=…, user=…, executable=…, certificate=…"),
        ("deny quit for user=", "'user=' does not say for whom; write listener=…, user=…, executable=…, certificate=…"),
        ("deny quit for user=0, 1001", "'1001' has no key; repeat it: user=0, user=1001"),
        ("deny quit for usr=root", "'usr=root' does not say for whom; write listener=…, user=…, executable=…, certificate=…"),
        ("deny object-add: x for uid=0, user=0", "'uid=0' does not say for whom; write listener=…, user=…, executable=…, "),
        ("deny quit, user=0", "write 'for' before the first 'user=', such as 'deny quit for user=…'"),
        ("deny migrate: exec:* user=0", "write 'for' before the first 'user=', such as 'deny quit for user=…'"),
        ("deny quit for user=no such", "there is no user 'no such'"),
        ("deny quit for listener=x", "invalid address 'x'"),
        ("allow @exec", "'@exec' can only be denied; allow the commands that are meant by their names"),
        ("deny quit:", "invalid command pattern 'quit:': there is nothing after the colon"),
        (
            "deny quit,migrate*",
            "invalid command pattern 'quit,migrate*': write the name of a QMP command, with wildcards, or @monitor or @exec; "
            "write ', ' between commands",
        ),
        (
            "deny info block",
            "invalid command pattern 'info block': write the name of a QMP command, with wildcards, or @monitor or @exec; "
            "an HMP command is written 'human-monitor-command: info block'",
        ),
    ],
)
def test_word_that_is_no_rule_is_an_error(text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        of_word(text)
    assert str(error.value).startswith(why)


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        (f"{value}{separator}user=0", f"is one value; write a comma and a blank between two: 'for {value}, user=0'")
        for value in ("certificate=ci", "executable=/bin/a", "user=7", "listener=unix:/m")
        for separator in (",", " ,", ";", " ")
    ]
    + [
        ("certificate=ci,ci2", "'certificate=ci,ci2' is one value; repeat the key: certificate=ci, certificate=ci2"),
        ("user=0,1001", "'user=0,1001' is one value; repeat the key: user=0, user=1001"),
        ("executable=/a,/b", "'executable=/a,/b' is one value; repeat the key: executable=/a, executable=/b"),
        ("certificate=ci for user=0", "write a comma and a blank between two"),
    ],
)
def test_several_conditions_are_never_taken_for_one_value(conditions: str, why: str) -> None:
    """Such a rule would be for nobody, and one that denies would deny nothing."""
    with pytest.raises(argparse.ArgumentTypeError) as error:
        of_word(f"deny quit for {conditions}")
    assert why in str(error.value)


def test_rules_of_the_command_line_keep_their_order_and_are_numbered() -> None:
    rules = ("--rule", "deny quit", "--rule", "allow query-*, stop for user=0")
    invocation = parse_command_line([*WIRE, *rules, "--role", "snapshots"])
    assert isinstance(invocation, ServeInvocation)
    (vm,) = invocation.vms
    assert [rule.name for rule in vm.rules] == ["rule 1 (deny quit)", "rule 2 (allow query-*, stop)"]
    assert (vm.terms.role, vm.permissions.role) == (Role.SNAPSHOTS, Role.SNAPSHOTS)


def load(tmp_path: Path, text: str) -> VMConfig:
    path = tmp_path / "f.toml"
    path.write_text(text)
    (vm,) = load_config_file(os.fspath(path))
    return vm


def test_rules_of_the_file(tmp_path: Path) -> None:
    table = (
        'rules = [{ deny = "quit", user = [0, "7"] }, { allow = ["stop", "cont"], listener = "unix:/m", executable = ["/a"] }]'
    )
    vm = load(tmp_path, VM + table)
    assert [replace(rule, name="") for rule in vm.rules] == [
        Rule.deny("quit", whom=Whom(uids=(0, 7))),
        Rule.allow("stop", "cont", whom=Whom(("unix:/m",), (), ("/a",))),
    ]
    assert vm.permissions.roles == {"unix:/m": Role.READ_ONLY}
    assert vm.permissions.role is Role.ALL


def test_rules_of_a_vm_stand_in_place_of_the_default_ones(tmp_path: Path) -> None:
    defaults = '[defaults]\nrole = "read-only"\nrules = [{ deny = "quit" }]\n'
    assert [rule.name for rule in load(tmp_path, defaults + VM).rules] == ["rule 1 (deny quit)"]
    vm = load(tmp_path, f'{defaults}{VM}rules = []\nrole = "all"\n')
    assert (vm.rules, vm.terms.role) == ((), Role.ALL)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules = 1", '4: rules: write a list of tables: [{ deny = ["quit", "migrate*"], user = "alice" }]'),
        ('rules = ["deny quit"]', '4: rules: write a list of tables: [{ deny = ["quit", "migrate*"], user = "alice" }]'),
        ("rules = [{deny = []}]", "4: rules: rule 1: deny: name at least one command, or drop it"),
        ('rules = [{allow = "a", user = []}]', "4: rules: rule 1: user: name at least one user, or drop it"),
        ('rules = [{deny = " "}]', "4: rules: rule 1: deny: invalid command pattern ' ': write the name of a QMP command"),
        ('rules = [{deny = "[quit"}]', "4: rules: rule 1: deny: invalid command pattern '[quit': '[' has no matching bracket"),
        (
            'rules = [{deny = "a", executable = "python"}]',
            "4: rules: rule 1: executable: 'python' is not the path of an executable; ",
        ),
        (
            'rules = [{deny = "a", certificate = "ci,user=0"}]',
            "4: rules: rule 1: certificate: certificate 'ci,user=0': write the common",
        ),
        ("rules = [{}]", "4: rules: rule 1: write allow or deny, one of them in each rule"),
        ('rules = [{allow = "a", deny = "b"}]', "4: rules: rule 1: write allow or deny, one of them in each rule"),
        (
            'rules = [\n  { deny = "a" }, # {\n  { deny = "a" }, { pid = 1 },\n]',
            f"6: rules: rule 3: pid: unknown key; the keys of a rule are {KEYS}",
        ),
        (
            'rules = [\n  { deny = "a" },\n\n  { deny = ["a", "a:"] },\n]',
            "7: rules: rule 2: deny: item 2: invalid command pattern 'a:': there is nothing ",
        ),
        (
            '[[vm.rules]]\ndeny = "a"\n\n[[vm.rules]]\ndeny = 1',
            "8: rules: rule 2: deny: write a string in quotes, or a list of strings",
        ),
        ('rules = [{deny = "a", user = "no such"}]', "4: rules: rule 1: user: there is no user 'no such'"),
        ('rules = [{deny = "a", user = true}]', "4: rules: rule 1: user: write a string in quotes, or a list of strings"),
        ('rules = [{deny = "a", listener = "x"}]', "4: rules: rule 1: listener: invalid address 'x'"),
        ('rules = [{deny = "a", listener = 1}]', "4: rules: rule 1: listener: write a string in quotes, or a list of strings"),
        (
            'rules = [{deny = "a", listener = "unix:/x"}]',
            "4: rules: rule 1 is for 'unix:/x', which is not a listener here; there is unix:/l, unix:/m",
        ),
        (
            'rules = [{allow = "@exec"}]',
            "4: rules: rule 1: allow: '@exec' can only be denied; allow the commands that are meant by their names",
        ),
        ('role = "admin"', "4: role: write one of 'read-only', 'snapshots', 'all'"),
    ],
)
def test_mistake_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, VM + text)
    assert str(error.value).startswith(f"{tmp_path}/f.toml:{why}")


def test_mistake_in_a_file_of_one_line_is_told_with_that(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"f\.toml:1: rules: rule 2: write allow or deny"):
        load(tmp_path, 'vm = [{ upstream = "unix:/q", listen = "unix:/l", rules = [{ deny = "a" }, {}] }]')


@pytest.mark.parametrize("value", [None, {}, "x", [1], [[]]])
def test_value_that_is_no_list_of_tables_is_an_error(value: Any) -> None:
    with pytest.raises(BadValue, match="write a list of tables"):
        RULES.from_file(value)


def test_word_with_a_colon_that_is_no_command_is_an_error() -> None:
    assert ALLOWED_COMMANDS.from_file(["info block", "migrate: exec:*"]) == {"info block", "migrate: exec:*"}
    with pytest.raises(BadValue, match="invalid command pattern 'quit: x'"):
        ALLOWED_COMMANDS.from_file("quit: x")
    assert ALLOWED_COMMANDS.from_word is not None
    with pytest.raises(argparse.ArgumentTypeError, match="invalid command pattern 'quit:'"):
        ALLOWED_COMMANDS.from_word("quit:")
    with pytest.raises(argparse.ArgumentTypeError, match="it is empty"):
        ALLOWED_COMMANDS.from_word("")
