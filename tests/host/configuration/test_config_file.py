"""The configuration file: what its keys mean, and where and how it says that something is wrong."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from host.configuration.config_file import error_at, load_config_file
from host.errors import ConfigError
from host.net.addresses import AcceptAddress, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.settings import settings
from host.settings.config import AuditFailure, AuditSettings, Origin, VMConfig
from host.settings.listener import ErrorStyle, Terms
from shim.graph.policy import FailedLoad, Mode, Overwrite, Policy, PolicyKind
from shim.records.confidential import Confidential
from tests.support.checkout import ROOT
from tests.support.proxy.config_files import EXAMPLE, SETTINGS, VM1, path
from tests.support.shim.graphs import patterns

__all__ = ["path"]

MIB: Final = 1024 * 1024
VM2: Final = '[[vm]]\nupstream = "unix:/q2"\nlisten = "unix:/l2"\n'


def load(path: Path, text: str) -> tuple[VMConfig, ...]:
    path.write_text(text, encoding="utf-8")
    return load_config_file(str(path))


def error_of(path: Path, text: str | bytes) -> str:
    """Return the error's text with the file's name for its path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert caught.value.exit_status == 2
    return str(caught.value).replace(str(path), "F")


# -- what the keys mean ---------------------------------------------------------------------------------------------------


def test_smallest_file(path: Path) -> None:
    (vm,) = load(path, VM1)
    assert vm == VMConfig(UnixAddress("/q"), (UnixAddress("/l"),), origin=Origin(str(path), 0))


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('policy = "hmp"', "kind", PolicyKind.HMP),
        ('policy = "auto"', "kind", PolicyKind.AUTO),
        ('vmstate = "d1"', "vmstate", patterns("d1")),
        ('vmstate = ["node:a", "d*"]', "vmstate", patterns("node:a", "d*")),
        ('include = "kind:pflash"', "include", patterns("kind:pflash")),
        ('exclude = ["data", "qdev:*/cd0"]', "exclude", patterns("data", "qdev:*/cd0")),
        ("exclude = []", "exclude", ()),
        ('overwrite = "refuse"', "overwrite", Overwrite.REFUSE),
        ('failed_load = "refuse"', "failed_load", FailedLoad.REFUSE),
        ("guard = false", "guard", False),
        ('mode = "observe"', "mode", Mode.OBSERVE),
        ('mode = "enforce"\nallow = "info"', "allow", frozenset({"info"})),
        ('mode = "enforce"\nallow = ["info block", "qemu-io"]', "allow", frozenset({"info block", "qemu-io"})),
    ],
)
@pytest.mark.parametrize("place", ["vm", "defaults"])
def test_policy_keys(path: Path, place: str, line: str, field: str, value: object) -> None:
    (vm,) = load(path, f"{VM1}{line}\n" if place == "vm" else f"[defaults]\n{line}\n{VM1}")
    assert getattr(vm.policy, field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('audit = "/log"', "audit", AuditSettings("/log")),
        ('audit = "-"', "audit", AuditSettings("-")),
        ('audit = "syslog:/run/log"', "audit", AuditSettings("syslog:/run/log")),
        ('audit = "/log"\naudit_sync = true', "audit", AuditSettings("/log", sync=True)),
        ('audit = "/log"\naudit_failure = "refuse"', "audit", AuditSettings("/log", failure=AuditFailure.REFUSE)),
        ('audit = "/log"\naudit_redact = "tags"', "audit", AuditSettings("/log", redact=frozenset({Confidential.TAGS}))),
        ('audit = "/log"\naudit_redact = ["all"]', "audit", AuditSettings("/log", redact=frozenset(Confidential))),
        ('audit = "/log"\naudit_key = "/key"', "audit", AuditSettings("/log", key="/key")),
        ('audit = "/log"\naudit_rotate_mib = 2\naudit_keep = 1', "audit", AuditSettings("/log", rotate_bytes=2 * MIB, keep=1)),
        ('audit = "/log"\naudit_rotate_hours = 2', "audit", AuditSettings("/log", rotate_age_s=7200)),
        ("audit_sync = false", "audit", None),
        ("client_buffer_mib = 1", "client_buffer_bytes", MIB),
        ("stop_timeout = 1.5", "stop_timeout_s", 1.5),
        ("stop_timeout = 0", "stop_timeout_s", 0),
        ("client_buffer_mib = 1_000", "client_buffer_bytes", 1000 * MIB),
        ("wait = true", "wait", True),
    ],
)
@pytest.mark.parametrize("place", ["vm", "defaults"])
def test_shared_keys(path: Path, place: str, line: str, field: str, value: object) -> None:
    (vm,) = load(path, f"{VM1}{line}\n" if place == "vm" else f"[defaults]\n{line}\n{VM1}")
    assert getattr(vm, field) == value
    assert replace(vm.policy, failed_load=None) == Policy()


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (f'{VM1}name = "é 1"', "name", "é 1"),
        ('[[vm]]\nupstream="tcp:[::1]:4444"\nlisten="stdio"', "upstream", TCPAddress("::1", 4444)),
        ('[[vm]]\nupstream="fd:3"\nlisten="stdio"', "upstream", DescriptorAddress(3)),
        ('[[vm]]\nupstream="accept:unix:/q"\nlisten="stdio"', "upstream", AcceptAddress(UnixAddress("/q"))),
        ('[[vm]]\nupstream="unix:/q"\nlisten="systemd"', "listen", (SystemdAddress(),)),
        ('[[vm]]\nupstream="unix:/q"\nlisten="stdio"', "listen", (StdioAddress(),)),
        (
            '[[vm]]\nupstream="unix:/q"\nlisten=["fd:4", "tcp:localhost:1"]',
            "listen",
            (DescriptorAddress(4), TCPAddress("localhost", 1)),
        ),
        ('[[vm]]\nattach="/q"\nlisten="unix:/l"', "attach", UnixAddress("/q")),
        ('[[vm]]\nattach="unix:/q"\nlisten="unix:/l"', "upstream", UnixAddress("/q")),
        ('[[vm]]\ntake_over="/q"', "take_over", UnixAddress("/q")),
        ('[[vm]]\ntake_over="unix:/q"', "take_over", UnixAddress("/q")),
        ('[[vm]]\ntake_over="/q"', "upstream", UnixAddress("/q")),
        ('[[vm]]\ntake_over="/q"', "listen", ()),
        ('[[vm]]\ntake_over="/q"\nupstream="unix:/q"', "upstream", UnixAddress("/q")),
        ('[[vm]]\ntake_over="/q"\nlisten="unix:/l"', "listen", (UnixAddress("/l"),)),
        ('[[vm]]\ntake_over="hold:/q"', "take_over", UnixAddress("/q", holds=True)),
        ('[[vm]]\ntake_over="hold:unix:/q"', "upstream", UnixAddress("/q")),
        (
            '[[vm]]\nupstream="unix:/q"\nlisten=["hold:unix:/l", "hold:tcp:h:1"]',
            "listen",
            (UnixAddress("/l", holds=True), TCPAddress("h", 1, holds=True)),
        ),
        (f"{VM1}connect_timeout = 90", "connect_timeout_s", 90),
        (f"{VM1}end_with_vm = true", "ends_with_vm", True),
        (f"{VM1}strict = true", "is_strict", True),
    ],
)
def test_keys_of_a_vm(path: Path, text: str, field: str, value: object) -> None:
    (vm,) = load(path, text)
    assert getattr(vm, field) == value


def test_listeners_complete_their_own_terms_by_those_of_the_vm(path: Path) -> None:
    own = '{ address = "unix:/o", mode = "0660" }'
    text = f'[defaults]\nsocket_group = 7\n[[vm]]\nupstream = "unix:/q"\nlisten = ["unix:/l", {own}]\n'
    (vm,) = load(path, text)
    assert vm.listen == (UnixAddress("/l"), UnixAddress("/o"))
    assert vm.terms_at("unix:/l") == Terms(socket_group=7)
    assert vm.terms_at("unix:/o") == Terms(socket_mode=0o660, socket_group=7)
    (vm,) = load(path, f'{text.partition("listen")[0]}[[vm.listen]]\naddress = "unix:/o"\nmode = "0660"\n')
    assert vm.terms_at("unix:/o") == Terms(socket_mode=0o660, socket_group=7)
    (vm,) = load(path, '[[vm]]\ntake_over = { address = "/q", errors = "qmp" }\n')
    assert (vm.upstream, vm.terms_at("unix:/q")) == (UnixAddress("/q"), Terms(errors=ErrorStyle.QMP))


def test_mistake_in_the_terms_of_a_listener(path: Path) -> None:
    listen = 'listen = [\n  { address = "unix:/o", mode = "0999" },\n]\n'
    error = "F:4: listen: item 1: mode: '0999' is not a mode; write it in octal, from 0000 to 0777, such as 0660"
    assert error_of(path, f'[[vm]]\nupstream = "unix:/q"\n{listen}') == error


def test_vms_inherit_what_they_do_not_say(path: Path) -> None:
    defaults = '[defaults]\npolicy = "auto"\nvmstate = "a"\nexclude = ["x", "y"]\nguard = false\nwait = true\naudit = "/log"\n'
    own = 'vmstate = "b"\nexclude = []\nguard = true\nwait = false\naudit = "/log2"\nclient_buffer_mib = 2\n'
    first, second = load(path, f"{defaults}{VM1}{own}{VM2}")
    assert first.policy == Policy(vmstate=patterns("b"))
    assert (first.wait, first.audit, first.client_buffer_bytes) == (False, AuditSettings("/log2"), 2 * MIB)
    assert second.policy == Policy(vmstate=patterns("a"), exclude=patterns("x", "y"), guard=False)
    assert (second.wait, second.audit, second.client_buffer_bytes) == (True, AuditSettings("/log"), 16 * MIB)
    assert (first.origin, second.origin) == (Origin(str(path), 0), Origin(str(path), 1))


def test_vms_may_share_an_audit_log(path: Path) -> None:
    first, second = load(path, f'{VM1}audit = "/log"\naudit_sync = true\n{VM2}audit = "/log"\n')
    assert (first.audit, second.audit) == (AuditSettings("/log", sync=True), AuditSettings("/log"))


def test_unnamed_vms_are_no_namesakes(path: Path) -> None:
    assert [vm.name for vm in load(path, VM1 + VM2)] == [None, None]


# -- what is wrong: the whole text ----------------------------------------------------------------------------------------

POLICY_AND_SHARED: Final = ", ".join(sorted(setting.key for setting in settings.SETTINGS if setting.is_shared))
SETTING_KEYS: Final = sorted(setting.key for setting in settings.SETTINGS)
OF_ONE_VM: Final = "it belongs to a single VM; write it into a [[vm]] table"
UNKNOWN: Final = "unknown key; example.toml explains all keys"
TEXT: Final = 'write a string in quotes, such as "vm1"'
TEXTS: Final = 'write a string in quotes, or a list of strings: ["a", "b"]'
BOOLEAN: Final = "write true or false"
CONFIDENTIAL: Final = "write 'tags', 'files', 'executables' or 'all'"
NOWHERE: Final = "it needs audit, which says where the log is"
NO_PLACE: Final = "write a file, - for standard output, syslog: or syslog:/path/of/socket"
MEBIBYTES: Final = "write a whole number of MiB, 1 or more"
LISTEN: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"
UPSTREAM: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"
LEFT_TO_HMP: Final = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
EACH_ONE: Final = "each needs one of its own"
LONG: Final = "/" + 107 * "x"


@pytest.mark.parametrize("place", ["defaults", "vm", "second vm"])
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('policy = "none"', "policy: write one of 'auto', 'hmp'"),
        ("policy = true", "policy: write one of 'auto', 'hmp'"),
        ('policy = ["hmp"]', "policy: write one of 'auto', 'hmp'"),
        ('overwrite = "Refuse"', "overwrite: write one of 'safe', 'replace', 'refuse'"),
        ("overwrite = {}", "overwrite: write one of 'safe', 'replace', 'refuse'"),
        ('mode = "force"', "mode: write one of 'rewrite', 'observe', 'enforce'"),
        ("mode = 1979-05-27", "mode: write one of 'rewrite', 'observe', 'enforce'"),
        ("vmstate = 1", f"vmstate: {TEXTS}"),
        ("include = [1]", f"include: item 1: {TEXT}"),
        ('exclude = ["a", ""]', f"exclude: item 2: {TEXT}"),
        ('exclude = ""', f"exclude: {TEXTS}"),
        ("allow = { a = 1 }", f"allow: {TEXTS}"),
        ("allow = [[]]", f"allow: item 1: {TEXT}"),
        (
            'vmstate = "node:"',
            "vmstate: invalid pattern 'node:' for block nodes: nothing follows 'node:'; write what to look for",
        ),
        (
            'exclude = ["a", "kind:flash"]',
            "exclude: item 2: invalid pattern 'kind:flash' for block nodes: "
            "the kinds are pflash, removable, raw, unattached, unable",
        ),
        ('guard = "no"', f"guard: {BOOLEAN}"),
        ("guard = 0", f"guard: {BOOLEAN}"),
        ("audit_sync = 1", f"audit_sync: {BOOLEAN}"),
        ("wait = []", f"wait: {BOOLEAN}"),
        ("audit = true", f"audit: {TEXT}"),
        ('audit = ""', f"audit: {TEXT}"),
        ('audit = ["/log"]', f"audit: {TEXT}"),
        ('audit = "syslog:log"', f"audit: invalid log destination 'syslog:log': {NO_PLACE}"),
        ('audit_failure = "stop"', "audit_failure: write one of 'refuse', 'continue'"),
        ('audit_redact = ["tags", "x"]', f"audit_redact: item 2: {CONFIDENTIAL}"),
        ('audit_redact = "x"', f"audit_redact: {CONFIDENTIAL}, or a list of these"),
        ("audit_redact = 1", f"audit_redact: {TEXTS}"),
        ("audit_rotate_mib = 0", f"audit_rotate_mib: {MEBIBYTES}"),
        ("audit_rotate_hours = 0.5", "audit_rotate_hours: write a whole number of hours, 1 or more"),
        ("audit_keep = 0", "audit_keep: write a whole number, 1 or more"),
        ("socket_mode = 660", 'socket_mode: write the mode as a string in octal, such as "0660"'),
        ("socket_mode = '0999'", "socket_mode: '0999' is not a mode; write it in octal, from 0000 to 0777, such as 0660"),
        ("socket_owner = 'no such'", "socket_owner: there is no user 'no such' on this machine; write a name or a number"),
        ("socket_group = -1", "socket_group: there is no group '-1' on this machine; write a name or a number"),
        ("client_buffer_mib = 0", f"client_buffer_mib: {MEBIBYTES}"),
        ("stop_timeout = -1", "stop_timeout: write a number of seconds, 0 or more"),
        ("stop_timeout = inf", "stop_timeout: write a number of seconds, 0 or more"),
        ("stop_timeout = nan", "stop_timeout: write a number of seconds, 0 or more"),
        ("abandon_after = true", "abandon_after: write a number of seconds, 0 or more"),
        ('abandon_load_after = "1"', "abandon_load_after: write a number of seconds, 0 or more"),
        ("client_buffer_mib = -1", f"client_buffer_mib: {MEBIBYTES}"),
        ("client_buffer_mib = 1.0", f"client_buffer_mib: {MEBIBYTES}"),
        ("client_buffer_mib = true", f"client_buffer_mib: {MEBIBYTES}"),
        ('client_buffer_mib = "16"', f"client_buffer_mib: {MEBIBYTES}"),
    ],
)
def test_wrong_values(path: Path, place: str, line: str, error: str) -> None:
    texts = {"defaults": f"[defaults]\n\n{line}\n{VM1}", "vm": f"{VM1}{line}\n{VM2}", "second vm": f"{VM1}{VM2}{line}\n"}
    lines = {"defaults": 3, "vm": 4, "second vm": 7}
    assert error_of(path, texts[place]) == f"F:{lines[place]}: {error}"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        # Unknown keys.
        (f"polcy = 1\n{VM1}", "F:1: polcy: unknown; there are [defaults] and [[vm]]"),
        (f"{VM1}\n[default]\nwait = true\n", "F:5: default: unknown; there are [defaults] and [[vm]]"),
        (f"{VM1}[[vms]]\n", "F:4: vms: unknown; there are [defaults] and [[vm]]"),
        (f"{VM1}[ 'vms' . x ]\n", "F:4: vms: unknown; there are [defaults] and [[vm]]"),
        (f"[defaults]\nname = 'a'\n{VM1}", f"F:2: name: {OF_ONE_VM}"),
        (f"[defaults]\nwait=true\nlisten = 'stdio'\n{VM1}", f"F:3: listen: {OF_ONE_VM}"),
        (f"{VM1}polcy = 'hmp'\n", "F:4: polcy: unknown key; did you mean 'policy'?"),
        (f"{VM1}{VM2}x.y = 1\n", f"F:7: x: {UNKNOWN}"),
        (f"{VM1}[vm.extra]\nx = 1\n", f"F:4: extra: {UNKNOWN}"),
        # Keys in other spellings.
        (f"{VM1}'wait' = 1\n", f"F:4: wait: {BOOLEAN}"),
        (f'{VM1}  "wait"   = 1\n', f"F:4: wait: {BOOLEAN}"),
        (f"{VM1}wait.x = 1\n", f"F:4: wait: {BOOLEAN}"),
        (f"{VM1}# wait = 1\naudit_wait = 1\n", "F:5: audit_wait: unknown key; did you mean 'audit_redact'?"),
        (f"defaults.wait = 1\n{VM1}", f"F:1: wait: {BOOLEAN}"),
        (f"\n'defaults' . \"wait\" = 1\n{VM1}", f"F:2: wait: {BOOLEAN}"),
        (f"[defaults.wait]\nx = 1\n{VM1}", f"F:1: wait: {BOOLEAN}"),
        (f"{VM1}[ defaults ]\nwait = 1\n", f"F:5: wait: {BOOLEAN}"),
        (f"{VM1}[['vm']]\nupstream = 5\n", f"F:5: upstream: {TEXT}"),
        (f"{VM1}\r\n[[vm]]\r\n\r\nupstream = 5\r\n", f"F:7: upstream: {TEXT}"),
        (f"{VM1}name = 'a\u2028b' # \u2028\nwait = 1\n", f"F:5: wait: {BOOLEAN}"),
        # Values of keys that only a VM has.
        (f"{VM1}name = 1\n", f"F:4: name: {TEXT}"),
        ("[[vm]]\nlisten = 'stdio'\nupstream = ['unix:/q']\n", f"F:3: upstream: {TEXT}"),
        ("[[vm]]\nupstream = '/q'\n", f"F:2: upstream: invalid address '/q': {UPSTREAM}"),
        ("[[vm]]\nupstream = 'stdio'\n", f"F:2: upstream: invalid address 'stdio': {UPSTREAM}"),
        (
            "[[vm]]\nupstream = 'accept:fd:3'\n",
            "F:2: upstream: invalid address 'accept:fd:3': write accept:unix:PATH or accept:tcp:HOST:PORT",
        ),
        ("[[vm]]\nupstream='unix:/q'\nlisten = ['unix:/l', 'l']\n", f"F:3: listen: item 2: invalid address 'l': {LISTEN}"),
        ("[[vm]]\nupstream='unix:/q'\nlisten = 'tcp:h:65536'\n", f"F:3: listen: invalid address 'tcp:h:65536': {LISTEN}"),
        ("[[vm]]\nupstream='unix:/q'\nlisten = 3\n", f"F:3: listen: {TEXTS}"),
        ("[[vm]]\ntake_over = true\n", f"F:2: take_over: {TEXT}"),
        (
            f"[[vm]]\ntake_over = '{LONG}'\n",
            f"F:2: take_over: invalid address 'unix:{LONG}.hmpshim': "
            "a socket's path has at most 107 bytes; choose a shorter one",
        ),
        # Tables.
        ("", "F:1: vm: there is no VM; write at least one [[vm]] table"),
        ("[defaults]\nwait = true\n", "F:1: vm: there is no VM; write at least one [[vm]] table"),
        ("vm = []\n", "F:1: vm: there is no VM; write at least one [[vm]] table"),
        ("\nvm = 5\n", "F:2: vm: write each VM as a table of its own: [[vm]]"),
        ("\n\n[vm]\nupstream = 'unix:/q'\n", "F:3: vm: write each VM as a table of its own: [[vm]]"),
        (f"# x\ndefaults = 1\n{VM1}", "F:2: defaults: write it as a table: [defaults]"),
        (f"{VM1}[[defaults]]\n", "F:4: defaults: write it as a table: [defaults]"),
        # Contradictions.
        (f"{VM1}{VM2}policy = 'hmp'\ninclude = 'a'\n", f"F:8: include: {LEFT_TO_HMP}"),
        (f"{VM1}exclude = 'a'\npolicy = 'hmp'\n", f"F:4: exclude: {LEFT_TO_HMP}"),
        (f"[defaults]\npolicy = 'hmp'\n{VM1}vmstate = 'a'\n", f"F:6: vmstate: {LEFT_TO_HMP}"),
        (f"[defaults]\nexclude = 'a'\n{VM1}{VM2}policy = 'hmp'\n", f"F:2: exclude: {LEFT_TO_HMP} (for the [[vm]] of line 6)"),
        (
            f"{VM1}include = ['a', 'b']\nexclude = 'b'\n",
            "F:4: include: item 2: 'b' is excluded too; name it in only one of them",
        ),
        (f"{VM1}allow = 'info'\n", 'F:4: allow: it works only in mode "enforce"; set that mode, or drop this'),
        (f"{VM1}audit_sync = true\n", f"F:4: audit_sync: {NOWHERE}"),
        (f"[defaults]\naudit_keep = 1\n{VM1}", f"F:2: audit_keep: {NOWHERE} (for the [[vm]] of line 3)"),
        (
            f"[defaults]\naudit = '/log'\naudit_sync = true\n{VM1}audit = '-'\n",
            "F:3: audit_sync: it works only with a file, and the audit log goes to '-' (for the [[vm]] of line 4)",
        ),
        (
            f"{VM1}audit = '/log'\n{VM2}audit_failure = 'refuse'\naudit = '/log'\n",
            "F:8: audit_failure: an earlier VM logs to '/log' too, with another value; give both the same",
        ),
        (
            f"{VM1}audit = '/log'\naudit_redact = 'all'\n{VM2}audit = '/log'\n",
            "F:6: audit_redact: an earlier VM logs to '/log' too, with another value; give both the same",
        ),
        (
            f"{VM1}audit = '-'\n{VM2.replace('unix:/l2', 'stdio')}",
            "F:4: audit: standard output belongs to the client on stdio; write a file, or syslog:",
        ),
        (
            "[[vm]]\nattach = 'hold:/q'\nlisten = 'unix:/l'\n",
            "F:2: attach: invalid address 'hold:/q': write the path of QEMU's socket",
        ),
        (
            "[[vm]]\nattach = '/q'\nupstream = 'unix:/other'\n",
            "F:3: upstream: attach says where QEMU is; drop one of them",
        ),
        (
            "[[vm]]\ntake_over = '/q'\nupstream = 'unix:/other'\n",
            "F:3: upstream: take_over says where QEMU is; drop one of them",
        ),
        ("\n[[vm]]\nupstream = 'unix:/q'\n", "F:2: listen: say where the tools connect, or take over QEMU's socket"),
        ("[[vm]]\nlisten = 'unix:/l'\n", "F:1: [vm]: say where QEMU is: upstream, attach or take_over"),
        (f"{VM1}[[vm]]\n", "F:4: [vm]: say where QEMU is: upstream, attach or take_over"),
        (
            "[[vm]]\nupstream = 'unix:/q'\nlisten = 'unix:/q'\n",
            "F:3: listen: it is QEMU's own socket; the proxy needs one of its own",
        ),
        (
            "[[vm]]\nupstream = 'unix:/q'\nlisten = ['stdio', 'unix:/l']\n",
            "F:3: listen: item 1: stdio must be the only address: the proxy ends when that client leaves",
        ),
        # Two of one kind.
        (
            f"{VM1}name = 'a'\n{VM2}name = 'b'\n{VM1.replace('/', '/3')}name = 'a'\n",
            f"F:12: name: an earlier VM has 'a' too; {EACH_ONE}",
        ),
        (
            f"{VM1}[[vm]]\nlisten = 'unix:/l2'\nupstream = 'unix:/q'\n",
            f"F:6: upstream: an earlier VM has 'unix:/q' too; {EACH_ONE}",
        ),
        (
            f"{VM1}[[vm]]\nupstream = 'unix:/q2'\nlisten = ['unix:/l2', 'unix:/l']\n",
            f"F:6: listen: item 2: an earlier VM has 'unix:/l' too; {EACH_ONE}",
        ),
        (
            "[[vm]]\nupstream = 'unix:/q2'\nlisten = ['unix:/l', 'unix:/l']\n",
            f"F:3: listen: item 2: it is named here twice; {EACH_ONE}",
        ),
        (
            "[[vm]]\nupstream = 'unix:/q'\nlisten = 'systemd'\n[[vm]]\nupstream = 'unix:/q2'\nlisten = 'systemd:a'\n",
            "F:6: listen: 'systemd' takes all sockets, 'systemd:a' included; give each VM systemd:NAME",
        ),
    ],
)
def test_wrong_files(path: Path, text: str, error: str) -> None:
    assert error_of(path, text) == error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"[[vm]]\nupstream = unix:/q\n", 2),
        (b"[[vm]]\nwait = true\nwat = false 1\n", 3),
        (b"[[vm]\n", 1),
        (b"[[vm]]\nlisten = [\n'a'\n", 3),
        (b"\n[[vm]]\nname = '''x", 3),
        (b"[defaults]\n# \xe4\n\xff", 2),
        ("[[vm]]\n".encode("utf-16"), 1),
    ],
)
def test_what_is_no_toml(path: Path, text: bytes, line: int) -> None:
    """The rest is Python's, and differs between its versions."""
    error = error_of(path, text)
    assert error.startswith(f"F:{line}: invalid TOML: ")
    assert "\n" not in error


def test_no_such_file(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert str(caught.value) == f"{path}: No such file or directory"


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}: Is a directory"


# -- errors that only the running VM shows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number", "line"),
    [
        (f"{VM1}vmstate = 'a'\n{VM2}vmstate = 'b'\n", 0, 4),
        (f"{VM1}vmstate = 'a'\n{VM2}vmstate = 'b'\n", 1, 8),
        (f"[defaults]\nvmstate = 'a'\n{VM1}", 0, 2),
        (f"[defaults]\nvmstate = 'a'\n{VM1}vmstate = 'b'\n", 0, 6),
        (f"{VM1}[defaults]\n\n'vmstate' = 'a'\n", 0, 6),
        (f"defaults.vmstate = 'a'\n{VM1}", 0, 1),
    ],
)
def test_error_at_a_key(path: Path, text: str, number: int, line: int) -> None:
    path.write_text(text)
    assert str(error_at(Origin(str(path), number), "vmstate", "why")) == f"{path}:{line}: vmstate: why"


def test_error_at_a_key_of_a_file_that_has_gone(path: Path) -> None:
    assert str(error_at(Origin(str(path), 0), "vmstate", "why")) == f"{path}: vmstate: why"


def test_error_at_a_key_of_a_file_that_is_no_text_now(path: Path) -> None:
    path.write_bytes(b"[[vm]]\nname = '\xe9'\n")
    assert str(error_at(Origin(str(path), 0), "vmstate", "why")) == f"{path}: vmstate: why"


# -- the example ----------------------------------------------------------------------------------------------------------


def test_example_is_a_configuration_of_defaults() -> None:
    (vm,) = load_config_file(str(ROOT / "example.toml"))
    assert vm == VMConfig(
        UnixAddress("/run/vm1/qmp.sock"),
        (UnixAddress("/run/vm1/legacy.sock"),),
        origin=Origin(str(ROOT / "example.toml"), 0),
    )


def test_example_uncommented_is_valid_and_changes_no_default(path: Path) -> None:
    first, second = load(path, SETTINGS)
    assert (first.name, first.attach) == ("vm1", first.upstream)
    assert second.take_over == UnixAddress("/run/vm2/qmp.sock")
    for vm in (first, second):
        assert replace(vm.policy, failed_load=None) == Policy()  # which the prompt takes for "refuse"
        audit = AuditSettings("/var/log/hmpshim.jsonl", rotate_bytes=100 * MIB, rotate_age_s=7 * 24 * 3600)
        assert vm.audit == replace(audit, key="/etc/hmpshim.key")
        assert (vm.client_buffer_bytes, vm.wait) == (16 * MIB, False)


def test_example_has_every_key_once() -> None:
    keys = re.findall(r"(?m)^([a-z_]+) = ", SETTINGS)
    assert sorted(keys) == SETTING_KEYS


@pytest.mark.parametrize("key", POLICY_AND_SHARED.split(", "))
def test_example_shows_values_that_each_stand_alone(path: Path, key: str) -> None:
    """Those of the audit log need one."""
    needed = "audit" if key.startswith("audit_") else key
    (vm,) = load(path, re.sub(rf"(?m)^#(?=({key}|{needed}) = )", "", EXAMPLE))
    assert replace(vm.policy, failed_load=None) == Policy()


def test_example_explains_every_key() -> None:
    """A comment stands above each setting, and each choice in it."""
    lines = EXAMPLE.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#?[a-z_]+ = ", line):
            above = next(other for other in reversed(lines[:number]) if not re.match(r"#abandon_", other))
            assert above.startswith("# ") or above == "#[[vm]]", line
    choices = [*(choice for setting in settings.SETTINGS for choice in setting.type.choices), *Confidential]
    assert [choice.value for choice in choices if f'"{choice.value}"' not in EXAMPLE] == []
    assert os.fspath(ROOT) not in EXAMPLE
