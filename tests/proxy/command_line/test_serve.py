"""The command line of `hmp-proxy`: every option, and every wrong use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from host.errors import ConfigError
from host.net.addresses import AcceptAddress, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.net.socket_access import OWNER_ONLY, SocketAccess
from host.settings.config import AuditFailure, AuditSettings, VMConfig
from host.settings.listener import ErrorStyle, Listener, Terms
from proxy.command_line import serve
from proxy.command_line.invocations import PlanInvocation, ServeInvocation
from proxy.command_line.places import default_path
from proxy.command_line.subcommands import parse_command_line
from proxy.control.server import Place
from shim.graph.policy import FailedLoad, Mode, Overwrite, Policy, PolicyKind
from shim.records.confidential import Confidential
from tests.support.proxy.command_lines import complaint
from tests.support.shim.graphs import patterns

QEMU: Final = UnixAddress("/q")
TOOLS: Final = UnixAddress("/l")
WIRE: Final = ("--upstream", "unix:/q", "--listen", "unix:/l")
MIB: Final = 1024 * 1024
IN_QMP: Final = Terms(errors=ErrorStyle.QMP)


def served(*arguments: str) -> ServeInvocation:
    invocation = serve.parse(arguments)
    assert isinstance(invocation, ServeInvocation)
    return invocation


def only_vm(*arguments: str) -> VMConfig:
    (vm,) = served(*arguments).vms
    return vm


def test_smallest_use() -> None:
    assert served(*WIRE) == ServeInvocation((VMConfig(QEMU, (TOOLS,)),), None, False)


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
        ("--overwrite safe", Policy()),
        ("--failed-load hmp", Policy(failed_load=FailedLoad.HMP)),
        ("--failed-load refuse", Policy(failed_load=FailedLoad.REFUSE)),
        ("--no-guard", Policy(guard=False)),
    ],
)
def test_policy_options(options: str, policy: Policy) -> None:
    """The plan has them too."""
    assert only_vm(*WIRE, *options.split()).policy == policy
    planned = parse_command_line(["plan", "--upstream", "unix:/q", *options.split(), "savevm"])
    assert isinstance(planned, PlanInvocation)
    assert planned.vm.policy == policy


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        (("--mode", "observe"), Policy(mode=Mode.OBSERVE)),
        (("--mode", "rewrite"), Policy()),
        (("--mode", "enforce"), Policy(mode=Mode.ENFORCE)),
        (
            ("--mode", "enforce", "--allow", "info block", "--allow", "qemu-io"),
            Policy(mode=Mode.ENFORCE, allow=frozenset({"info block", "qemu-io"})),
        ),
    ],
)
def test_modes(options: Sequence[str], policy: Policy) -> None:
    assert only_vm(*WIRE, *options).policy == policy


@pytest.mark.parametrize(
    ("options", "vm"),
    [
        ("--listen stdio --upstream tcp:h:1", VMConfig(TCPAddress("h", 1), (StdioAddress(),))),
        ("--listen systemd --upstream fd:3", VMConfig(DescriptorAddress(3), (SystemdAddress(),))),
        (
            "--listen fd:4 --listen unix:/l --upstream accept:unix:/q",
            VMConfig(AcceptAddress(QEMU), (DescriptorAddress(4), TOOLS)),
        ),
        ("--attach /q --listen unix:/l", VMConfig(QEMU, (TOOLS,), attach=QEMU)),
        ("--attach unix:/q --hmp-listen unix:/l", VMConfig(QEMU, hmp_listen=(TOOLS,), attach=QEMU)),
        ("--take-over /q", VMConfig(QEMU, take_over=QEMU)),
        ("--take-over unix:/q", VMConfig(QEMU, take_over=QEMU)),
        ("--take-over /q --listen unix:/l", VMConfig(QEMU, (TOOLS,), take_over=QEMU)),
        ("--take-over hold:/q", VMConfig(QEMU, take_over=UnixAddress("/q", holds=True))),
        ("--upstream unix:/q --listen hold:unix:/l", VMConfig(QEMU, (UnixAddress("/l", holds=True),))),
        ("--take-over /q,errors=qmp", VMConfig(QEMU, take_over=QEMU, own_listeners=(Listener(QEMU, IN_QMP),))),
        ("--upstream unix:/q --telnet on --listen unix:/l", VMConfig(QEMU, (TOOLS,), terms=Terms(telnet=True))),
        ("--take-over /q,pretty=on", VMConfig(QEMU, take_over=QEMU, own_listeners=(Listener(QEMU, Terms(pretty=True)),))),
        ("--take-over /q --errors qmp", VMConfig(QEMU, take_over=QEMU, terms=IN_QMP)),
    ],
)
def test_addresses(options: str, vm: VMConfig) -> None:
    assert only_vm(*options.split()) == vm


@pytest.mark.parametrize(
    ("options", "vm"),
    [
        ("--wait", VMConfig(QEMU, (TOOLS,), wait=True)),
        ("--client-buffer 1", VMConfig(QEMU, (TOOLS,), client_buffer_bytes=MIB)),
        ("--name vm1", VMConfig(QEMU, (TOOLS,), name="vm1")),
    ],
)
def test_other_options(options: str, vm: VMConfig) -> None:
    assert only_vm(*WIRE, *options.split()) == vm


@pytest.mark.parametrize(
    ("options", "audit"),
    [
        ("/log", AuditSettings("/log")),
        ("-", AuditSettings("-")),
        ("syslog:", AuditSettings("syslog:")),
        ("syslog:/run/log", AuditSettings("syslog:/run/log")),
        ("/log --audit-sync", AuditSettings("/log", sync=True)),
        ("- --audit-failure refuse", AuditSettings("-", failure=AuditFailure.REFUSE)),
        ("/log --audit-rotate-mib 3", AuditSettings("/log", rotate_bytes=3 * MIB)),
        ("/log --audit-rotate-hours 2 --audit-keep 1", AuditSettings("/log", rotate_age_s=7200, keep=1)),
        ("/log --audit-redact all", AuditSettings("/log", redact=frozenset(Confidential))),
        (
            "/log --audit-redact tags,files --audit-redact tags",
            AuditSettings("/log", redact=frozenset({Confidential.TAGS, Confidential.FILES})),
        ),
    ],
)
def test_audit_options(options: str, audit: AuditSettings) -> None:
    assert only_vm(*WIRE, "--audit", *options.split()) == VMConfig(QEMU, (TOOLS,), audit=audit)


def test_verbose() -> None:
    assert served(*WIRE, "--verbose").verbose


# -- a file ---------------------------------------------------------------------------------------------------------------


def test_file(path: str) -> None:
    invocation = served("--config", path)
    assert [vm.name for vm in invocation.vms] == ["vm1", None]
    assert (invocation.config_path, invocation.verbose) == (path, False)
    assert served("--verbose", "--config", path).verbose


def test_wrong_file(path: str) -> None:
    Path(path).write_text("[[vm]]\n")
    with pytest.raises(ConfigError):
        parse_command_line(["--config", path])
    with pytest.raises(ConfigError):
        parse_command_line(["plan", "--config", path, "savevm"])


# -- wrong use: one line, status 2 ----------------------------------------------------------------------------------------

LISTEN: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"
UPSTREAM: Final = "write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH"
WHERE: Final = "say where QEMU is and where the tools connect: --upstream or --attach and --listen, --take-over, or --config"
LEFT_TO_HMP: Final = 'policy "hmp" leaves the choice to HMP\'s rule; drop this, or use policy "auto"'
NOWHERE: Final = "it needs audit, which says where the log is"
NO_PLACE: Final = "write a file, - for standard output, syslog: or syslog:/path/of/socket"
AUDIT_OPTIONS: Final = (
    *("--audit-sync", "--audit-failure refuse", "--audit-redact tags", "--audit-key /key", "--audit-rotate-mib 1"),
    *("--audit-rotate-hours 1", "--audit-keep 1"),
)
INTO_THE_FILE: Final = "cannot be used with --config; write it into the file"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("", WHERE),
        ("--upstream unix:/q", WHERE),
        ("--listen unix:/l", WHERE),
        ("--upstream", "argument --upstream: expected one argument"),
        ("--upstream /q --listen unix:/l", f"argument --upstream: invalid address '/q': {UPSTREAM}"),
        ("--upstream stdio --listen unix:/l", f"argument --upstream: invalid address 'stdio': {UPSTREAM}"),
        ("--upstream unix:/q --listen accept:unix:/l", f"argument --listen: invalid address 'accept:unix:/l': {LISTEN}"),
        ("--upstream unix:/q --listen unix:/q", "--listen: it is QEMU's own socket; the proxy needs one of its own"),
        (
            "--upstream unix:/q --listen stdio --listen unix:/l",
            "--listen: stdio must be the only address: the proxy ends when that client leaves",
        ),
        ("--upstream unix:/q --take-over /q", "--take-over PATH says where QEMU is; drop --upstream"),
        ("--upstream unix:/q --attach /q --listen unix:/l", "--attach PATH says where QEMU is; drop --upstream"),
        ("--attach /q", WHERE),
        ("--attach hold:/q", "argument --attach: invalid address 'hold:/q': write the path of QEMU's socket"),
        ("--attach unix: --listen unix:/l", "argument --attach: invalid address 'unix:': write the path of QEMU's socket"),
        ("--attach /q --listen unix:/q", "--listen: it is QEMU's own socket; the proxy needs one of its own"),
        (
            "--attach /q --take-over /q",
            "--attach: it leaves QEMU's socket where it is, and --take-over moves it aside; drop one of them",
        ),
        (
            f"--take-over /{99 * 'x'}",
            f"argument --take-over: invalid address 'unix:/{99 * 'x'}.hmpshim':"
            " a socket's path has at most 107 bytes; choose a shorter one",
        ),
        ("--policy none", "argument --policy: 'none' is not one of auto, hmp"),
        ("--overwrite none", "argument --overwrite: 'none' is not one of safe, replace, refuse"),
        ("--mode none", "argument --mode: 'none' is not one of rewrite, observe, enforce"),
        (
            "--vmstate node:",
            "argument --vmstate: invalid pattern 'node:' for block nodes: nothing follows 'node:'; write what to look for",
        ),
        (
            "--exclude kind:x",
            "argument --exclude: invalid pattern 'kind:x' for block nodes: "
            "the kinds are pflash, removable, raw, unattached, unable",
        ),
        ("--client-buffer x", "argument --client-buffer: invalid int value: 'x'"),
        (f"{' '.join(WIRE)} --client-buffer 0", "--client-buffer takes a whole number of MiB, 1 or more"),
        (f"{' '.join(WIRE)} --policy hmp --vmstate a", f"--vmstate: {LEFT_TO_HMP}"),
        (f"{' '.join(WIRE)} --policy hmp --include a", f"--include: {LEFT_TO_HMP}"),
        (f"{' '.join(WIRE)} --policy hmp --exclude a", f"--exclude: {LEFT_TO_HMP}"),
        (f"{' '.join(WIRE)} --include a --exclude a", "--include: 'a' is excluded too; name it in only one of them"),
        (f"{' '.join(WIRE)} --allow help", '--allow: it works only in mode "enforce"; set that mode, or drop this'),
        *((f"{' '.join(WIRE)} {option}", f"{option.split()[0]}: {NOWHERE}") for option in AUDIT_OPTIONS),
        (f"{' '.join(WIRE)} --audit=", f"argument --audit: invalid log destination '': {NO_PLACE}"),
        (f"{' '.join(WIRE)} --audit syslog:run", f"argument --audit: invalid log destination 'syslog:run': {NO_PLACE}"),
        (f"{' '.join(WIRE)} --audit - --audit-sync", "--audit-sync: it works only with a file, and the audit log goes to '-'"),
        (f"{' '.join(WIRE)} --audit /log --audit-keep 2", "--audit-keep: it needs --audit-rotate-mib or --audit-rotate-hours"),
        (
            f"{' '.join(WIRE)} --when-full delete-oldest",
            "--when-full: it needs --max-snapshots, which says how many there may be",
        ),
        (
            f"{' '.join(WIRE)} --delete-prefix auto-",
            '--delete-prefix: it works only with --when-full "delete-oldest"; set that, or drop this',
        ),
        (f"{' '.join(WIRE)} --tls-key k", "--tls-key: it needs --tls-certificate, which makes TCP clients use TLS"),
        (
            f"{' '.join(WIRE)} --listen tcp:0.0.0.0:1",
            "--listen: tcp:0.0.0.0:1: anyone who can reach it from another machine controls the VM; set --tls-certificate and "
            "--tls-client-ca, or listen on 127.0.0.1 or [::1] only",
        ),
        (f"{' '.join(WIRE)} --protect=", "argument --protect: it is empty; write something, or drop the option"),
        (f"{' '.join(WIRE)} --delete-prefix=", "argument --delete-prefix: it is empty; write something, or drop the option"),
        (f"{' '.join(WIRE)} --audit-keep 0", "argument --audit-keep: '0' is not a whole number from 1 to 999999999"),
        (f"{' '.join(WIRE)} --audit-redact x", "argument --audit-redact: 'x' is not one of tags, files, executables, all"),
        (
            f"{' '.join(WIRE)} --audit-redact all,x",
            "argument --audit-redact: 'all,x' is not one of tags, files, executables, all",
        ),
        (f"{' '.join(WIRE)} --audit-failure x", "argument --audit-failure: 'x' is not one of refuse, continue"),
        (
            "--upstream unix:/q --listen stdio --audit -",
            "--audit: standard output belongs to the client on stdio; write a file, or syslog:",
        ),
        (f"{' '.join(WIRE)} savevm", "unrecognized arguments: savevm"),
        (f"{' '.join(WIRE)} --nosuch", "unrecognized arguments: --nosuch"),
        ("--json", "unrecognized arguments: --json"),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], options: str, error: str) -> None:
    assert complaint(capsys, options.split()) == f"hmp-proxy: {error} (see hmp-proxy --help)\n"


@pytest.mark.parametrize(
    ("option", "vm"),
    [
        ("--connect-timeout 90", VMConfig(QEMU, (TOOLS,), connect_timeout_s=90)),
        ("--end-with-vm", VMConfig(QEMU, (TOOLS,), ends_with_vm=True)),
        ("--strict", VMConfig(QEMU, (TOOLS,), is_strict=True)),
    ],
)
def test_how_qemu_is_waited_for(option: str, vm: VMConfig) -> None:
    assert only_vm(*WIRE, *option.split()) == vm


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("--connect-timeout 5", "connect-timeout"),
        ("--end-with-vm", "end-with-vm"),
        ("--strict", "strict"),
        ("--upstream unix:/q", "upstream"),
        ("--listen unix:/l", "listen"),
        ("--take-over /q", "take-over"),
        ("--wait", "wait"),
        ("--client-buffer 1", "client-buffer"),
        ("--policy hmp", "policy"),
        ("--vmstate a", "vmstate"),
        ("--include a", "include"),
        ("--exclude a", "exclude"),
        ("--overwrite refuse", "overwrite"),
        ("--no-guard", "no-guard"),
        ("--mode observe", "mode"),
        ("--allow help", "allow"),
        ("--name a", "name"),
        ("--audit /log", "audit"),
        *((option, option.split()[0].removeprefix("--")) for option in AUDIT_OPTIONS),
    ],
)
def test_options_beside_a_file(capsys: pytest.CaptureFixture[str], path: str, options: str, name: str) -> None:
    """They would be lost when the file is read again."""
    error = complaint(capsys, ["--config", path, *options.split()])
    assert error == f"hmp-proxy: --{name} {INTO_THE_FILE} (see hmp-proxy --help)\n"


def test_times_are_seconds() -> None:
    vm = only_vm(*WIRE, *["--stop-timeout", "1.5", "--abandon-after", "0", "--abandon-load-after", "60"])
    assert (vm.stop_timeout_s, vm.policy.abandon_after_s, vm.policy.abandon_load_after_s) == (1.5, 0, 60)


@pytest.mark.parametrize("option", ["--stop-timeout", "--abandon-after", "--abandon-load-after"])
@pytest.mark.parametrize("wrong", ["-1", "inf", "nan", "soon", ""])
def test_wrong_times(option: str, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_command_line([*WIRE, f"{option}={wrong}"])
    assert caught.value.code == 2
    assert f"argument {option}: '{wrong}' is not a number of seconds, 0 or more" in capsys.readouterr().err


def test_control_socket_is_the_processes() -> None:
    asked = served(*WIRE, "--control", "/c,mode=0660", "--admin", "/a", "--metrics", "tcp:127.0.0.1:9180")
    assert asked.control == Place(UnixAddress("/c"), SocketAccess(0o660))
    assert asked.admin == Place(UnixAddress("/a"), OWNER_ONLY)
    assert asked.metrics == Place(TCPAddress("127.0.0.1", 9180), OWNER_ONLY)
    assert served(*WIRE).control is None
    default = served(*WIRE, "--control").control
    assert default is not None
    assert str(default.address) == f"unix:{default_path('control')}"
