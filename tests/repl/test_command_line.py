"""The command line of `hmp-repl`: every option, every wrong use, and the help."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from host.errors import ConfigError
from host.net.addresses import Address, TCPAddress, UnixAddress
from host.settings.config import AuditFailure, AuditSettings, UpstreamTLS
from repl.command_line import Invocation, parse_command_line
from repl.finding import looking
from repl.finding.looking import Places
from repl.finding.vms import FoundVM
from shim.graph.patterns import KEYS, KINDS
from shim.graph.policy import FailedLoad, Mode, Overwrite, Policy, PolicyKind
from tests.support.checkout import ROOT
from tests.support.process_folder import add_process
from tests.support.shim.graphs import patterns

QEMU: Final = UnixAddress("/q")


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/config")


def invocation(**members: Any) -> Invocation:
    """Return what the command line `/q` means, with these members instead."""
    members["policy"] = replace(members.get("policy", Policy()), failed_load=FailedLoad.REFUSE)
    places = {"history": Path("/state/hmpshim/history"), "settings_file": Path("/config/hmpshim/repl.toml")}
    return Invocation(**{"address": QEMU, **places, **members})


def invocation_of_file(**members: Any) -> Invocation:
    """Return what is meant where a file has the policy."""
    return invocation(**members, file_policy=members.get("policy", Policy()))


def test_smallest_use() -> None:
    assert parse_command_line(["/q"]) == invocation()


@pytest.mark.parametrize(
    ("options", "members"),
    [
        (["--name", "vm1"], {"name": "vm1"}),
        (["--audit", "/log"], {"audit": AuditSettings("/log")}),
        (["--audit", "syslog:"], {"audit": AuditSettings("syslog:")}),
        (["-c", "savevm t"], {"commands": ("savevm t",)}),
        (["-c", "savevm t", "-c", "info snapshots", "-c", ""], {"commands": ("savevm t", "info snapshots", "")}),
        (["-cquit"], {"commands": ("quit",)}),
        (["--json"], {"as_json": True}),
        (["--keep-going"], {"keeps_going": True}),
        (["--raw"], {"is_raw": True}),
        (["--yes"], {"asks": False}),
        (["--reconnect"], {"reconnects": True}),
        (["--vi"], {"is_vi": True}),
        (["--history", "/h"], {"history": Path("/h")}),
        (["--history", ""], {"history": None}),
        (["--settings", "/s.toml"], {"settings_file": Path("/s.toml"), "is_settings_named": True}),
        (["--settings", ""], {"settings_file": None, "is_settings_named": True}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options(options: Sequence[str], members: dict[str, Any]) -> None:
    """They may stand before the address and behind it."""
    assert parse_command_line(["/q", *options]) == invocation(**members)
    assert parse_command_line([*options, "/q"]) == invocation(**members)


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ("--policy hmp", Policy(PolicyKind.HMP)),
        ("--policy auto", Policy()),
        ("--vmstate d1", Policy(vmstate=patterns("d1"))),
        ("--vmstate node:b --vmstate *", Policy(vmstate=patterns("node:b", "*"))),
        ("--include kind:pflash --include a", Policy(include=patterns("kind:pflash", "a"))),
        ("--exclude data --exclude qdev:*/cd0", Policy(exclude=patterns("data", "qdev:*/cd0"))),
        ("--overwrite refuse", Policy(overwrite=Overwrite.REFUSE)),
        ("--overwrite replace", Policy(overwrite=Overwrite.REPLACE)),
        ("--no-guard", Policy(guard=False)),
        ("--failed-load refuse", Policy()),
    ],
)
def test_policy_options(options: str, policy: Policy) -> None:
    given = tuple(dict.fromkeys(word for word in options.split() if word.startswith("--")))
    assert parse_command_line(["/q", *options.split()]) == invocation(policy=policy, policy_options=given)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/q", QEMU),
        ("unix:/q", QEMU),
        ("run/qmp.sock", UnixAddress(os.path.abspath("run/qmp.sock"))),
        ("./with:colon", UnixAddress(os.path.abspath("with:colon"))),
        ("tcp:localhost:4444", TCPAddress("localhost", 4444)),
        ("tcp:[::1]:4444", TCPAddress("::1", 4444)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_command_line([text]) == invocation(address=address)


@pytest.mark.parametrize(
    ("environment", "history"),
    [
        ({"XDG_STATE_HOME": "/s"}, "/s/hmpshim/history"),
        ({"XDG_STATE_HOME": ""}, "/home/me/.local/state/hmpshim/history"),
        ({"XDG_STATE_HOME": "here"}, "/home/me/.local/state/hmpshim/history"),
        ({}, "/home/me/.local/state/hmpshim/history"),
    ],
)
def test_history_is_kept_where_state_belongs(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], history: str
) -> None:
    """XDG Base Directory Specification: an empty variable is none, and so is a relative path."""
    monkeypatch.delenv("XDG_STATE_HOME")
    for name, value in ({"HOME": "/home/me"} | environment).items():
        monkeypatch.setenv(name, value)
    assert parse_command_line(["/q"]).history == Path(history)


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({"XDG_CONFIG_HOME": "/c"}, "/c/hmpshim/repl.toml"),
        ({"XDG_CONFIG_HOME": ""}, "/home/me/.config/hmpshim/repl.toml"),
        ({"XDG_CONFIG_HOME": "./c"}, "/home/me/.config/hmpshim/repl.toml"),
    ],
)
def test_settings_are_where_configuration_belongs(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], settings: str
) -> None:
    for name, value in ({"HOME": "/home/me"} | environment).items():
        monkeypatch.setenv(name, value)
    found = parse_command_line(["/q"])
    assert found.settings_file == Path(settings)
    assert not found.is_settings_named


# -- a file ---------------------------------------------------------------------------------------------------------------

FILE: Final = """\
[defaults]
overwrite = "refuse"
[[vm]]
name = "a"
upstream = "unix:/a"
listen = ["unix:/a.legacy", "tcp:h:1"]
audit = "/a.log"
audit_sync = true
audit_failure = "refuse"
[[vm]]
upstream = "tcp:h:2"
listen = ["fd:3"]
mode = "enforce"
allow = "info"
[[vm]]
name = "taken"
take_over = "/t"
[[vm]]
name = "far"
upstream = "fd:4"
listen = "systemd"
"""
LOG_OF_A: Final = AuditSettings("/a.log", sync=True, failure=AuditFailure.REFUSE)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "hmpshim.toml"
    path.write_text(FILE)
    return str(path)


@pytest.mark.parametrize(
    ("options", "members"),
    [
        (["--vm", "a"], {"address": UnixAddress("/a.legacy"), "name": "a", "audit": LOG_OF_A}),
        (["--vm", "a", "/x"], {"address": UnixAddress("/x"), "name": "a", "audit": LOG_OF_A}),
        (
            ["--vm", "a", "--audit", "/own"],
            {"address": UnixAddress("/a.legacy"), "name": "a", "audit": replace(LOG_OF_A, destination="/own")},
        ),
        (
            ["--vm", "a", "--audit", "syslog:/own"],
            {
                "address": UnixAddress("/a.legacy"),
                "name": "a",
                "audit": AuditSettings("syslog:/own", failure=AuditFailure.REFUSE),
            },
        ),
        (
            ["--vm", "tcp:h:2"],
            {
                "address": TCPAddress("h", 2),
                "policy": Policy(overwrite=Overwrite.REFUSE, mode=Mode.ENFORCE, allow=frozenset({"info"})),
            },
        ),
        (["--vm", "taken"], {"address": UnixAddress("/t"), "name": "taken"}),
        (["--vm", "far", "/x"], {"address": UnixAddress("/x"), "name": "far"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_file_says_all_about_the_vm(file: str, options: Sequence[str], members: dict[str, Any]) -> None:
    """The proxy's socket comes first: QEMU's own has one place, and it is the proxy's."""
    expected = invocation_of_file(**{"policy": Policy(overwrite=Overwrite.REFUSE), **members})
    assert parse_command_line(["--config", file, *options]) == expected


def test_only_vm_of_a_file_needs_no_name(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('[[vm]]\nupstream = "unix:/a"\nlisten = "unix:/b"\n')
    assert parse_command_line(["--config", str(path)]) == invocation_of_file(address=UnixAddress("/b"))


def test_qemu_of_a_file_is_reached_by_tls_where_no_listener_can_be(tmp_path: Path) -> None:
    """A listener with TLS asks for a client's certificate, of which the file says nothing."""
    path = tmp_path / "f"
    tls = 'tls_certificate = "/c"\ntls_client_ca = "/ca"\nupstream_tls_ca = "/uca"\nupstream_tls_name = "n"\n'
    path.write_text(f'[[vm]]\nupstream = "tcp:h:1"\nlisten = "tcp:h:2"\n{tls}')
    found = parse_command_line(["--config", str(path)])
    assert (found.address, found.tls) == (TCPAddress("h", 1), UpstreamTLS("/uca", name="n"))
    path.write_text(f'[[vm]]\nupstream = "tcp:h:1"\nlisten = ["tcp:h:2", "unix:/l"]\n{tls}')
    found = parse_command_line(["--config", str(path)])
    assert (found.address, found.tls) == (UnixAddress("/l"), None)


def test_options_that_are_not_about_the_vm_go_with_a_file(file: str) -> None:
    words = ["--json", "--keep-going", "--raw", "--yes", "--reconnect", "--vi", "--history", "/h", "-c", "quit"]
    members = {
        **{"as_json": True, "keeps_going": True, "is_raw": True, "asks": False, "reconnects": True, "is_vi": True},
        **{"history": Path("/h"), "commands": ("quit",)},
    }
    found = parse_command_line(["--config", file, "--vm", "taken", *words])
    policy = Policy(overwrite=Overwrite.REFUSE)
    assert found == invocation_of_file(address=UnixAddress("/t"), name="taken", policy=policy, **members)


def test_own_audit_log_replaces_one_that_the_prompt_cannot_have(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('[[vm]]\nupstream = "unix:/a"\nlisten = "unix:/b"\naudit = "-"\n')
    found = parse_command_line(["--config", str(path), "--audit", "/log"])
    assert found == invocation_of_file(address=UnixAddress("/b"), audit=AuditSettings("/log"))


def test_file_whose_audit_log_is_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f"
    path.write_text('[[vm]]\nupstream = "unix:/a"\nlisten = "unix:/b"\naudit = "-"\n')
    with pytest.raises(SystemExit):
        parse_command_line(["--config", str(path)])
    assert f"the file's audit log {NOT_OURS}" in capsys.readouterr().err


def test_wrong_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('[[vm]]\nupstream = "unix:/a"\nlisten = "nonsense"\n')
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}:3: listen: "):
        parse_command_line(["--config", str(path)])


NOT_OURS: Final = "goes to standard output, which the prompt itself uses; give --audit FILE, or --audit syslog:"


# -- a name, or none ------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the only VMs of this machine be those of a file."""
    folder = tmp_path / "places"
    folder.mkdir()
    monkeypatch.setattr(looking, "Places", lambda: Places([folder / "f"], [folder / "c"], folder / "proc"))
    return folder


def one_vm(name: str, *lines: str) -> str:
    return "\n".join((f'[[vm]]\nname = "{name}"\nupstream = "unix:/{name}"\nlisten = "unix:/{name}.l"', *lines)) + "\n"


def test_name_is_looked_for(places: Path) -> None:
    (places / "f").write_text(one_vm("a") + one_vm("b", 'policy = "hmp"'))
    expected = invocation_of_file(address=UnixAddress("/b.l"), name="b", policy=Policy(PolicyKind.HMP))
    assert parse_command_line(["b"]) == expected


def test_only_vm_is_taken_without_a_name(places: Path) -> None:
    (places / "f").write_text(one_vm("a"))
    assert parse_command_line([]) == invocation_of_file(address=UnixAddress("/a.l"), name="a")
    named = parse_command_line(["--name", "own", "--policy", "hmp", "-c", "help"])
    assert (named.name, named.policy.kind, named.policy_options) == ("own", PolicyKind.HMP, ("--policy",))


def test_whoever_is_at_the_terminal_is_asked_but_no_script(places: Path, file: str) -> None:
    def ask(vms: Sequence[FoundVM]) -> FoundVM:
        return vms[-1]

    (places / "f").write_text(one_vm("a") + one_vm("b"))
    assert parse_command_line([], ask).address == UnixAddress("/b.l")
    assert parse_command_line(["--config", file], ask).name == "taken"
    with pytest.raises(SystemExit):
        parse_command_line(["-c", "help"], ask)


def test_nothing_that_can_be_taken_says_what_was_looked_at(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line([])
    assert ended.value.code == 2
    assert f"looked at {places}/f (not there), {places}/c (no proxy answers), " in (told := capsys.readouterr().err)
    assert told.count("\n") == 1


def test_log_of_a_file_that_nobody_asked_for_is_the_proxys(places: Path) -> None:
    """Where there is no proxy, the commands are on record all the same."""
    (places / "f").write_text(one_vm("a", 'audit = "/log"'))
    assert parse_command_line(["a"]).audit is None
    (places / "q").touch()
    (places / "f").write_text(f'[[vm]]\nname = "a"\nupstream = "unix:{places}/q"\nlisten = "unix:/l"\naudit = "/log"\n')
    assert parse_command_line(["a"]).audit == AuditSettings("/log")


def test_vm_of_no_file_has_the_policy_of_the_options(places: Path) -> None:
    add_process(places / "proc", 7, "kvm", "-name", "guest", "-qmp", "tcp:h:1,server=on")
    found = parse_command_line(["guest", "--policy", "hmp"])
    assert found == invocation(address=TCPAddress("h", 1), policy=Policy(PolicyKind.HMP), policy_options=("--policy",))


def test_word_is_an_address_where_such_a_socket_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "qmp.sock").touch()
    monkeypatch.chdir(tmp_path)
    assert parse_command_line(["qmp.sock"]) == invocation(address=UnixAddress(str(tmp_path / "qmp.sock")))


def test_address_needs_nothing_of_what_finds_vms() -> None:
    code = (
        "import sys; from repl.command_line import parse_command_line; parse_command_line(['/q']);"
        "sys.exit(any(name.startswith(('repl.finding', 'repl.prompt', 'tomllib')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


# -- wrong use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--vm a", "--vm needs --config FILE"),
        ("--config {file} --vm a b", "--vm and the name of a VM cannot both be given"),
        ("/q --vm a", "--vm needs --config FILE"),
        ("/q /q", "unrecognized arguments: /q"),
        ("/q --nonsense", "unrecognized arguments: --nonsense"),
        ("/q --audit -", f"--audit - {NOT_OURS}"),
        ("/q --audit=", "argument --audit: invalid log destination '': write a file, "),
        ("/q --audit syslog:x", "argument --audit: invalid log destination 'syslog:x': write a file, "),
        ("/q -c", "argument -c: expected one argument"),
        ("/q --mode observe", "unrecognized arguments: --mode observe"),
        ("/q --policy none", "'none' is not one of auto, hmp"),
        ("/q --vmstate kind:x", "argument --vmstate: "),
        ("fd:3", "invalid address 'fd:3': write PATH, unix:PATH or tcp:HOST:PORT"),
        ("accept:unix:/q", "invalid address 'accept:unix:/q': write PATH, unix:PATH or tcp:HOST:PORT"),
        ("tcp:nonsense", "invalid address 'tcp:nonsense': "),
        ("unix:", "invalid address 'unix:': "),
        ("/" + "x" * 107, "a socket's path has at most 107 bytes"),
        ("--config {file}", "say which VM: one of a, tcp:h:2, taken (see"),
        ("--config {file} -c help", "say which VM: one of a, tcp:h:2, taken (see"),
        ("--config {file} Taken", "no VM is called 'Taken'; did you mean 'taken'? (see"),
        ("--config {file} --vm nosuch", "say which VM: --vm with one of a, tcp:h:2, taken, far"),
        ("--config {file} --vm far", "the file names no socket that can be connected to; give ADDRESS"),
        ("--config {file} --vm a --policy hmp", "--policy cannot be used with --config; write it into the file"),
        ("--config {file} --vm a --vmstate x", "--vmstate cannot be used with --config; write it into the file"),
        ("--config {file} --vm a --no-guard", "--no-guard cannot be used with --config; write it into the file"),
        ("--config {file} --vm a --name b", "--name cannot be used with --config; write it into the file"),
    ],
)
def test_wrong_use_is_told_in_one_line(file: str, capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line(words.format(file=file).split())
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    assert told.err.startswith("hmp-repl: ")
    assert said in told.err
    assert told.err.endswith(" (see hmp-repl --help)\n")
    assert told.err.count("\n") == 1


def test_empty_address_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line([""])
    assert ended.value.code == 2
    assert "invalid address" in capsys.readouterr().err


# -- the help -------------------------------------------------------------------------------------------------------------


def test_help_has_every_option_pattern_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line(["--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    options = (
        "--config",
        "--vm",
        "--name",
        "--audit",
        "-c",
        "--json",
        "--keep-going",
        "--raw",
        "--yes",
        "--reconnect",
        "--hmp-errors",
    )
    of_the_policy = ("--policy", "--vmstate", "--include", "--exclude", "--overwrite", "--failed-load")
    for option in (*options, "--hmp-errors", "--vi", "--history", "--settings", *of_the_policy):
        assert re.search(rf"^  {option}\b", told, re.MULTILINE), option
    assert all(word in told for word in (*KEYS, *KINDS, "--no-guard", "unix:PATH", "tcp:HOST:PORT"))
    exit_status = told[told.index("exit status:") :]
    assert re.findall(r"(?:^|  )(\d+)  \w", exit_status, re.MULTILINE) == ["0", "2", "1", "3", "130", "143"]


def test_failed_load_is_refused_unless_the_operator_wants_hmps_way(tmp_path: Path) -> None:
    assert parse_command_line(["/q"]).policy.failed_load is FailedLoad.REFUSE
    assert parse_command_line(["/q", "--failed-load", "hmp"]).policy.failed_load is FailedLoad.HMP
    # What is said of tags is then QEMU's too.
    assert parse_command_line(["/q", "--hmp-errors"]).policy.failed_load is FailedLoad.HMP
    assert parse_command_line(["/q", "--hmp-errors"]).hmp_errors is not parse_command_line(["/q"]).hmp_errors
    for line, expected in (("", FailedLoad.REFUSE), ('failed_load = "hmp"\n', FailedLoad.HMP)):
        (tmp_path / "f").write_text(f'[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\n{line}')
        assert parse_command_line(["--config", str(tmp_path / "f")]).policy.failed_load is expected


@pytest.mark.parametrize("option", ["--policy auto", "--vmstate x", "--overwrite safe", "--no-guard"])
def test_policy_beside_a_file_is_refused_even_where_it_is_the_default(
    option: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_command_line(["--config", file, *option.split()])
    assert f"hmp-repl: {option.split()[0]} cannot be used with --config; write it into the file" in capsys.readouterr().err
