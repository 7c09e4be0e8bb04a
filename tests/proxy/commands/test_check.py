"""`hmp-proxy --check`: all mistakes of a configuration at once."""

from pathlib import Path

import pytest

from proxy.command_line.invocations import CheckInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.commands.check import find_mistakes, summary
from tests.support.proxy.config_files import EXAMPLE, VM1, path
from tests.support.proxy_command import run_proxy

__all__ = ["path"]


def check(path: Path, text: str) -> CheckInvocation:
    path.write_text(text)
    invocation = parse_command_line(["--check", "--config", str(path)])
    assert isinstance(invocation, CheckInvocation)
    return invocation


def mistakes(path: Path, text: str) -> list[str]:
    return [str(mistake).replace(str(path), "F") for mistake in find_mistakes(check(path, text))]


WRONG = """\
[defaults]
polcy = "auto"
vmstate = 5
[[vm]]
upstream = "unix:/q"
listen = "unix:/l"
mode = "enforced"
[[vm]]
upstream = "nowhere"
listen = "unix:/l"
rules = [{ allow = "stop" }, { permit = "stop" }]
"""


def test_every_mistake_has_its_line_and_key(path: Path) -> None:
    found = mistakes(path, WRONG)
    assert [mistake.split(": ")[:2] for mistake in found] == [
        ["F:2", "polcy"],
        ["F:3", "vmstate"],
        ["F:7", "mode"],
        ["F:9", "upstream"],
        ["F:10", "listen"],
        ["F:11", "rules"],
    ]


def places(path: Path, text: str) -> list[str]:
    """Return the line and the key of each mistake."""
    return [": ".join(mistake.split(": ")[:2]) for mistake in mistakes(path, text)]


LISTS = """\
[[vm]]
upstream = "unix:/q"
# listen = [1]
listen = [ # not ["this"]
  "unix:/l",
  "foo:bar", # = ]
  "bar:foo", { address = "unix:/k", mode = "999", errors = "loud" },
  { mod = "0660" },
  '''unix:/a
#''', 5,
]
rules = [
  { deny = ["quit", "no such"], user = [
    "root", "nobody at all"] },
  { allow = "stop", for = "x" }, "deny quit",
]
exclude = ["kind:x",
  "d0", "node:"]
audit_redact = ["tags",
"names"]
allow_users = ["root",

"no such"]
[[vm.hmp_listen]]
address = "unix:/m"
[[vm.hmp_listen]] # [[vm]]
role = "none"
address = "m"
"""


def test_every_wrong_element_of_a_list_has_its_own_line(path: Path) -> None:
    assert [mistake.partition(";")[0] for mistake in mistakes(path, LISTS)] == [
        "F:6: listen: item 2: invalid address 'foo:bar': write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd",
        "F:7: listen: item 3: invalid address 'bar:foo': write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd",
        "F:7: listen: item 4: mode: '999' is not a mode",
        "F:7: listen: item 4: errors: write one of 'hmp', 'qmp'",
        'F:8: listen: item 5: the table of a listener needs its address: { address = "unix:/path", … }',
        "F:8: listen: item 5: mod: unknown key",
        'F:10: listen: item 7: write a string in quotes, such as "vm1"',
        "F:13: rules: rule 1: deny: item 2: invalid command pattern 'no such': "
        "write the name of a QMP command, with wildcards, or @monitor or @exec",
        "F:14: rules: rule 1: user: item 2: there is no user 'nobody at all' on this machine",
        "F:15: rules: rule 2: for: unknown key",
        'F:15: rules: rule 3: write a table: { deny = ["quit", "migrate*"], user = "alice" }',
        "F:17: exclude: item 1: invalid pattern 'kind:x' for block nodes: "
        "the kinds are pflash, removable, raw, unattached, unable",
        "F:18: exclude: item 3: invalid pattern 'node:' for block nodes: nothing follows 'node:'",
        "F:20: audit_redact: item 2: write 'tags', 'files', 'executables' or 'all'",
        "F:23: allow_users: item 2: there is no user 'no such' on this machine",
        "F:27: hmp_listen: item 2: role: write one of 'read-only', 'snapshots', 'all'",
        "F:28: hmp_listen: item 2: address: invalid address 'm': write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd",
    ]


def test_contradictions_are_told_beside_other_mistakes(path: Path) -> None:
    text = f"""{VM1}polcy = "x"
audit_sync = true
audit_keep = 3
when_full = "delete-oldest"
mode = "none"
upstream_tls_key = "/k"
include = ["a", "b"]
exclude = [
  "b", "a"]
"""
    assert places(path, text) == [
        "F:4: polcy",
        "F:5: audit_sync",
        "F:6: audit_keep",
        "F:6: audit_keep",
        "F:7: when_full",
        "F:7: when_full",
        "F:8: mode",
        "F:9: upstream_tls_key",
        "F:10: include",
        "F:10: include",
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        # A wrong value, or one under a wrong key, may be what another setting lacks, or make what it contradicts right.
        ("audit = 5\naudit_sync = true", ["F:4: audit"]),
        ("audti = '/log'\naudit_sync = true", ["F:4: audti"]),
        ("max_snapshots = -1\nwhen_full = 'delete-oldest'\ndelete_prefix = 'a'", ["F:4: max_snapshots"]),
        ("mode = 'enforced'\nallow = 'info'", ["F:4: mode"]),
        ("policy = 'none'\ninclude = 'a'\nexclude = 'a'", ["F:4: policy", "F:5: include"]),
        ("policy = 'hmp'\ninclude = 'kind:'\nexclude = 'a'", ["F:5: include", "F:6: exclude"]),
        ("hmp_listen = 5\nrules = [{deny = 'quit', listener = 'unix:/m'}]", ["F:4: hmp_listen"]),
        ("tls_certificate = 5\ntls_key = '/k'", ["F:4: tls_certificate"]),
        ("tls_key = '/k'\ntls_client_ca = '/c'", ["F:4: tls_key", "F:5: tls_client_ca"]),
        ("rules = [{deny = 'quit', listener = 'unix:/m'},\n{deny = 'stop', listener = ['unix:/n',\n'unix:/o']}]", [
            "F:4: rules", "F:5: rules", "F:5: rules",
        ]),
    ],
)  # fmt: skip
def test_what_only_follows_from_a_mistake_is_not_told(path: Path, lines: str, told: list[str]) -> None:
    assert places(path, f"{VM1}{lines}\n") == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[vm]]\n", ["F:1: [vm]"]),
        ("[[vm]]\nupstream = 'unix:/q'\n", ["F:1: listen"]),
        ("[[vm]]\nlisten = 'unix:/l'\n", ["F:1: [vm]"]),
        ("[[vm]]\nupstream = 5\n", ["F:1: listen", "F:2: upstream"]),
        ("[[vm]]\ntake_over = 5\n", ["F:2: take_over"]),
        ("[[vm]]\nupsteam = 'unix:/q'\nlisten = 'unix:/l'\n", ["F:2: upsteam"]),
        ("[[vm]]\nupstream = 'unix:/q'\nlisen = 'unix:/l'\n", ["F:3: lisen"]),
    ],
)
def test_missing_address_is_told_unless_one_is_wrong(path: Path, text: str, told: list[str]) -> None:
    assert places(path, text) == told


def test_vms_are_compared_as_far_as_they_are_right(path: Path) -> None:
    log = 'audit = "/log"\naudit_failure = "refuse"\n'
    first = f'{VM1}name = "a"\n{log}audit_keep = 0\nmode = "none"\n'
    second = '[[vm]]\nupstream = 5\nlisten = [\n"unix:/k",\n"unix:/l"]\nname = "a"\naudit = "/log"\naudit_rotate_mib = 1\n'
    assert places(path, first + second) == [
        *("F:7: audit_keep", "F:8: mode"),
        *("F:9: audit_failure", "F:10: upstream", "F:13: listen", "F:14: name", "F:16: audit_rotate_mib"),
    ]
    assert places(path, first.replace('"/log"', "5") + second)[-1] == "F:14: name"
    assert places(path, first.replace('"unix:/l"', "5") + second)[-2:] == ["F:14: name", "F:16: audit_rotate_mib"]


def test_mistakes_in_defaults_are_told_beside_those_of_the_vms(path: Path) -> None:
    text = f"[defaults]\naudit_sync = true\nallow_users = ['no such', 'nor such']\nmax_clients = 'x'\n{VM1}mode = 1\n"
    assert places(path, text) == ["F:2: audit_sync", "F:3: allow_users", "F:3: allow_users", "F:4: max_clients", "F:8: mode"]
    own = f"[defaults]\nmode = 'x'\n{VM1}allow = 'info'\n{VM1.replace('/', '/2')}mode = 'rewrite'\nallow = 'info'\n"
    assert places(path, own) == ["F:2: mode", "F:11: allow"]


def test_every_mistake_of_a_template_is_told(path: Path) -> None:
    text = """[[vm]]
discover = "/run/*"
upstream = "unix:{path}"
listen = ["unix:/l/{1}",
"unix:/{2}",
"unix:/{}/{3}"]
name = "{x}"
polcy = 1
audit_sync = true
"""
    assert places(path, text) == ["F:5: listen", "F:6: listen", "F:7: name", "F:8: polcy", "F:9: audit_sync"]
    wrong = text.replace('"/run/*"', '"run"')
    assert places(path, wrong) == ["F:2: discover", "F:8: polcy", "F:9: audit_sync"]


def test_contradictions_of_all_kinds_are_told(path: Path) -> None:
    text = f"{VM1}allow = ['info block']\ntls_certificate = '/c'\n" + VM1.replace("/l", "/m")
    assert places(path, text) == ["F:4: allow", "F:5: tls_certificate", "F:7: upstream"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("polcy", "did you mean 'policy'?"),
        ("lisen", "did you mean 'listen'?"),
        ("max-clients", "did you mean 'max_clients' or 'max_user_clients'?"),
        ("client_buffer", "did you mean 'client_buffer_mib'?"),
        ("rule", "did you mean 'rules' or 'role'?"),
        ("discovr", "did you mean 'discover'?"),
        ("nonesuch", "example.toml explains all keys"),
    ],
)
def test_unknown_key_comes_with_those_that_may_be_meant(path: Path, key: str, meant: str) -> None:
    (told, *_) = mistakes(path, f"{VM1}{key} = 'unix:/k'\n")
    assert told == f"F:4: {key}: unknown key; {meant}"


def test_key_of_a_vm_in_the_defaults_is_sent_there(path: Path) -> None:
    told = mistakes(path, f"[defaults]\nlisten = 'unix:/l'\n{VM1}")
    assert told == ["F:2: listen: it belongs to a single VM; write it into a [[vm]] table"]


def test_strings_and_comments_are_not_taken_for_keys(path: Path) -> None:
    text = f"""# mode = 1
[defaults] # mode = 2
name_of_nobody = '''
[[vm]]
mode = 3'''
{VM1}name = \"""a
mode = 4 # [[vm]]
\"""
mode = 5 # mode = 6
{VM1.replace("/", "/2")}mode = {{ mode = 7 }}
"""
    assert places(path, text) == ["F:3: name_of_nobody", "F:12: mode", "F:16: mode"]


def test_certificate_that_cannot_be_used_stands_at_its_key(path: Path) -> None:
    text = f'{VM1}[[vm]]\nupstream = "unix:/q2"\nlisten = "tcp:[::1]:0"\ntls_certificate = "/none"\ntls_clients = "any"\n'
    expected = ["F:7: tls_certificate: cannot use TLS with /none: No such file or directory"]
    assert mistakes(path, text) == expected


def test_file_that_cannot_be_read_is_one_mistake(path: Path) -> None:
    invocation = parse_command_line(["--check", "--config", str(path)])
    assert isinstance(invocation, CheckInvocation)
    assert [str(mistake) for mistake in find_mistakes(invocation)] == [f"{path}: No such file or directory"]


def test_right_configuration_is_summed_up(path: Path) -> None:
    assert summary(check(path, VM1)) == f"{path}: 1 VM, no mistakes"
    two = VM1 + VM1.replace("/q", "/q2").replace("/l", "/l2")
    assert summary(check(path, two)) == f"{path}: 2 VMs, no mistakes"
    assert mistakes(path, EXAMPLE + VM1) == []


def test_program_tells_all_and_ends(path: Path) -> None:
    path.write_text(WRONG)
    done = run_proxy("--check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 6)
    path.write_text(VM1)
    done = run_proxy("--check", "--config", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: 1 VM, no mistakes\n", "")


@pytest.mark.parametrize(("certificate", "status"), [("/none", 2), (None, 0)])
def test_options_are_checked_too(certificate: str | None, status: int) -> None:
    tls = [] if certificate is None else ["--tls-certificate", certificate, "--tls-clients", "any"]
    done = run_proxy("--check", "--upstream", "unix:/q", "--listen", "tcp:127.0.0.1:0", *tls)
    assert done.returncode == status
    if status:
        assert done.stderr == "hmp-proxy: cannot use TLS with /none: No such file or directory (setting tls_certificate)\n"
    else:
        assert done.stdout == "command line: 1 VM, no mistakes\n"
