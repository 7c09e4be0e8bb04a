"""Roles, mode "enforce", and what holds for one client."""

from typing import Any, Final

import pytest

from shim.client import Client
from shim.graph.policy import Mode, Policy
from shim.rules.permissions import EVERYTHING, Permissions, Role
from shim.rules.rules import ClientRules, Rule, Whom
from tests.support.shim.commands import hmp_message, message

CLIENT: Final = Client(1, 7, "/bin/tool", listener="unix:/a")
ENFORCE: Final = Policy(mode=Mode.ENFORCE)


def rules_of(role: Role) -> ClientRules:
    rules = Permissions(role=role).rules_for(CLIENT, Policy())
    assert rules is not None
    return rules


READING: Final = (
    *map(message, ("query-status", "query-qmp-schema", "query-commands", "query-block", "query-jobs", "x-query-roms")),
    *map(message, ("x-debug-query-block-graph", "qom-list", "device-list-properties", "qmp_capabilities")),
    *map(message, ("__hmpshim_query-proxy", "__hmpshim_plan")),
    *map(hmp_message, ("info status", "info  snapshots", "info", "help", "? savevm", "help info", "info jit")),
)
SNAPSHOTS: Final = (
    *map(message, ("snapshot-save", "snapshot-load", "snapshot-delete", "job-dismiss", "stop", "cont")),
    *map(hmp_message, ("savevm t", "savevm", "loadvm t", "delvm t", "stop", "s", "c", "cont", 'savevm "a')),
)
NEITHER: Final = (
    *map(message, ("quit", "system_reset", "migrate", "blockdev-add", "qom-get", "qom-set", "human-monitor-command", "nosuch")),
    *map(message, ("query-rx-filter", "query-sev-launch-measure", "x-query-profile", "screendump", "memsave", "getfd", "")),
    *map(message, ("job-cancel", "blockdev-snapshot-sync", "transaction", "object-add", "chardev-add", "__hmpshim_other")),
    *map(
        hmp_message, ("quit", "q", "info registers", "info registers -a", "info profile", "info usbhost", "x /10i 0", "", "/")
    ),
    *map(hmp_message, ("nosuch", "qemu-io d0 flush", "gdbserver", "commit all", "infox", "Info status")),
)


@pytest.mark.parametrize("command", READING)
def test_all_roles_may_read(command: dict[str, Any]) -> None:
    assert rules_of(Role.READ_ONLY).judge(command).is_allowed
    assert rules_of(Role.SNAPSHOTS).judge(command).is_allowed


@pytest.mark.parametrize("command", SNAPSHOTS)
def test_snapshots_are_for_one_role(command: dict[str, Any]) -> None:
    assert rules_of(Role.READ_ONLY).judge(command).reason == "role read-only"
    assert not rules_of(Role.READ_ONLY).judge(command).is_allowed
    assert rules_of(Role.SNAPSHOTS).judge(command).is_allowed


@pytest.mark.parametrize("command", NEITHER)
def test_the_rest_is_for_neither(command: dict[str, Any]) -> None:
    assert not rules_of(Role.READ_ONLY).judge(command).is_allowed
    assert not rules_of(Role.SNAPSHOTS).judge(command).is_allowed


def test_without_rules_there_are_none() -> None:
    assert EVERYTHING.rules_for(CLIENT, Policy()) is None


def test_rules_that_deny_nothing_cost_nothing() -> None:
    assert Permissions((Rule.allow("quit"),)).rules_for(CLIENT, Policy()) is None


def test_rules_for_others_cost_nothing() -> None:
    assert Permissions((Rule.deny("quit", whom=Whom(uids=(8,))),)).rules_for(CLIENT, Policy()) is None


def test_no_rules_are_for_the_proxy_itself() -> None:
    permissions = Permissions((Rule.deny("*"),), Role.READ_ONLY)
    assert permissions.rules_for(Client(1, 0, is_proxy=True), ENFORCE) is None


def test_operators_rules_come_before_the_role() -> None:
    rules = Permissions((Rule.allow("quit", name="rule 1"), Rule.deny("query-*", name="rule 2")), Role.READ_ONLY)
    own = rules.rules_for(CLIENT, Policy())
    assert own is not None
    assert own.judge(message("quit")).reason == "rule 1"
    assert own.judge(message("query-status")).reason == "rule 2"
    assert own.judge(message("qom-list")).reason == "role read-only"


def test_listener_may_have_a_role_of_its_own() -> None:
    permissions = Permissions(role=Role.SNAPSHOTS, roles={"unix:/a": Role.ALL, "unix:/b": Role.READ_ONLY})
    assert permissions.rules_for(CLIENT, Policy()) is None
    for listener, role in (("unix:/b", "read-only"), ("unix:/c", "snapshots"), (None, "snapshots")):
        rules = permissions.rules_for(Client(listener=listener), Policy())
        assert rules is not None
        assert rules.judge(message("quit")).reason == f"role {role}"


def test_enforce_refuses_what_leads_past_the_proxy() -> None:
    rules = EVERYTHING.rules_for(CLIENT, ENFORCE)
    assert rules is not None
    assert rules.judge(message("object-add", qom_type="monitor-qmp")).reason == "mode enforce"
    assert not rules.judge(message("migrate", uri="exec:cat")).is_allowed
    assert rules.judge(message("object-add", qom_type="rng-builtin")).is_allowed
    # Of HMP it judges elsewhere, by its names.
    assert rules.judge(hmp_message("gdbserver")).is_allowed


def test_enforce_lets_pass_what_is_allowed_in_it() -> None:
    rules = EVERYTHING.rules_for(CLIENT, Policy(mode=Mode.ENFORCE, allow=frozenset({"info block", "migrate: exec:zstd *"})))
    assert rules is not None
    assert rules.judge(message("migrate", uri="exec:zstd > /x")).is_allowed
    assert not rules.judge(message("migrate", uri="exec:cat")).is_allowed


DISPLAYS: Final = {
    "add_client: vnc": message("add_client", protocol="vnc", fdname="x", skipauth=True),
    "set_password: vnc": message("set_password", protocol="vnc", password="x"),
    "expire_password: vnc": message("expire_password", protocol="vnc", time="never"),
    "change-vnc-password: vnc": message("change-vnc-password", password="x"),
    "display-update: vnc": message("display-update", type="vnc", addresses=[]),
    "qom-set: verify-peer": message("qom-set", path="/objects/t", property="verify-peer", value=False),
    "object-add: authz-*": message("object-add", qom_type="authz-simple", id="a"),
}


@pytest.mark.parametrize("word", DISPLAYS)
def test_enforce_closes_displays_unless_they_are_allowed(word: str) -> None:
    rules = EVERYTHING.rules_for(CLIENT, ENFORCE)
    opened = EVERYTHING.rules_for(CLIENT, Policy(mode=Mode.ENFORCE, allow=frozenset({word})))
    assert rules is not None
    assert opened is not None
    for other, command in DISPLAYS.items():
        assert rules.judge(command).reason == "mode enforce"
        assert opened.judge(command).is_allowed is (other == word)
    assert not opened.judge(message("add_client", protocol="second", fdname="x")).is_allowed


def test_rule_before_lets_in_to_a_display() -> None:
    rules = Permissions((Rule.allow("add_client: vnc"), Rule.deny("@monitor"))).rules_for(CLIENT, Policy())
    assert rules is not None
    assert rules.judge(DISPLAYS["add_client: vnc"]).is_allowed
    assert not rules.judge(message("add_client", protocol="second", fdname="x")).is_allowed


def test_enforce_leaves_long_lines_to_its_list_of_names() -> None:
    rules = EVERYTHING.rules_for(CLIENT, ENFORCE)
    assert rules is not None
    assert rules.judge(hmp_message("savevm " + "t" * 5000)).is_allowed


def test_no_rule_lifts_what_enforce_refuses() -> None:
    rules = Permissions((Rule.allow("*"),)).rules_for(CLIENT, ENFORCE)
    assert rules is not None
    assert not rules.judge(message("object-add", qom_type="monitor-qmp")).is_allowed
