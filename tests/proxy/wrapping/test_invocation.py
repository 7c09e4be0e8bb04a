"""The wrapper's own command line, and what stands in its place where it is called by QEMU's name."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from host.errors import ConfigError
from host.net.addresses import DescriptorAddress
from host.settings.config import Origin, VMConfig
from host.settings.listener import Terms
from proxy.wrapping import invocation as module
from proxy.wrapping.invocation import CONFIG_VARIABLE, WrapInvocation, parse_wrap, read_call_as_qemu
from proxy.wrapping.qemu_program import QEMU_VARIABLE
from shim.graph.policy import Mode, Policy, PolicyKind
from tests.support.proxy.config_files import path

__all__ = ["path"]

QEMU = "qemu-system-x86_64"
CALLED = ("--", QEMU, "-monitor", "stdio")


@pytest.fixture(autouse=True)
def _no_installed_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIG_FILE", "/none/wrap.toml")


def test_command_line_without_options_has_no_settings() -> None:
    assert parse_wrap(CALLED, {}) == WrapInvocation(QEMU, ("-monitor", "stdio"))


def test_only_the_first_separator_is_the_wrappers() -> None:
    assert parse_wrap((*CALLED, "--", "x"), {}).words == ("-monitor", "stdio", "--", "x")
    assert parse_wrap(("--verbose", "--", "qemu", "--qmp", "null"), {}).words == ("--qmp", "null")


def test_qemu_may_have_no_arguments() -> None:
    assert parse_wrap(("--", QEMU), {}) == WrapInvocation(QEMU, ())


def test_options_are_settings() -> None:
    options = ("--policy", "hmp", "--name", "guest", "--audit", "/log", "--rule", "deny quit", "--verbose")
    invocation = parse_wrap((*options, *CALLED), {})
    assert invocation.config is not None
    assert (invocation.config.policy.kind, invocation.config.name) == (PolicyKind.HMP, "guest")
    assert invocation.config.audit is not None
    assert invocation.config.audit.destination == "/log"
    assert len(invocation.config.rules) == 1
    assert invocation.is_verbose


def test_option_before_the_environment_before_the_path_names_qemu() -> None:
    environment = {QEMU_VARIABLE: "/opt/qemu"}
    assert parse_wrap(("--qemu", "/own/qemu", *CALLED), environment).qemu == "/own/qemu"
    assert parse_wrap(("--verbose", *CALLED), environment).qemu == "/opt/qemu"
    assert parse_wrap(CALLED, environment).qemu == "/opt/qemu"
    assert parse_wrap(("--verbose", *CALLED), {}).qemu is None


def test_file_has_the_settings(path: Path) -> None:
    path.write_text('[defaults]\npolicy = "hmp"\n')
    invocation = parse_wrap(("--config", str(path), "--verbose", *CALLED), {})
    assert invocation.config == VMConfig(DescriptorAddress(0), policy=Policy(PolicyKind.HMP), origin=Origin(str(path), 0))
    assert invocation.is_verbose


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "write QEMU's command line after --, such as: -- qemu-system-x86_64 -monitor stdio"),
        (("--",), "write QEMU's command line after --"),
        ((QEMU, "-monitor", "stdio"), "unrecognized arguments: qemu-system-x86_64 -monitor stdio"),
        (("--nonesuch", *CALLED), "unrecognized arguments: --nonesuch"),
        (("--listen", "unix:/l", *CALLED), "--listen"),
        (("--policy", "hmp", "--exclude", "d0", *CALLED), "--exclude: "),
        (("--audit", "-", *CALLED), "--audit: standard output is QEMU's; write a file, or syslog:"),
        (("--config", "/f", "--policy", "hmp", *CALLED), "--policy"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: Sequence[str], told: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_wrap(arguments, {})
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("hmp-proxy wrap: ")
    assert told in stderr


def test_help_names_what_decides(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_wrap(("--help",), {})
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for word in ("hmp-proxy wrap [OPTION...] -- QEMU ARGUMENT...", "--qemu", QEMU_VARIABLE, CONFIG_VARIABLE, "126", "127"):
        assert word in shown


def test_call_by_qemus_name_has_no_options() -> None:
    called = read_call_as_qemu(f"/usr/local/bin/{QEMU}", ["--config", "x", "--", "-S"], {QEMU_VARIABLE: "/opt/qemu"})
    assert called == WrapInvocation(QEMU, ("--config", "x", "--", "-S"), qemu="/opt/qemu")


def test_call_by_qemus_name_reads_the_installed_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text('[defaults]\nmode = "observe"\n')
    monkeypatch.setattr(module, "CONFIG_FILE", str(path))
    config = read_call_as_qemu(QEMU, [], {}).config
    assert config is not None
    assert config.policy.mode is Mode.OBSERVE
    # An empty variable says nothing.
    assert read_call_as_qemu(QEMU, [], {CONFIG_VARIABLE: ""}).config == config


def test_environment_names_another_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text('[defaults]\nmode = "observe"\n')
    monkeypatch.setattr(module, "CONFIG_FILE", str(path))
    with pytest.raises(ConfigError) as caught:
        read_call_as_qemu(QEMU, [], {CONFIG_VARIABLE: "/none/other.toml"})
    assert str(caught.value) == "/none/other.toml: No such file or directory"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('audit = "-"', "audit: standard output is QEMU's; write a file, or syslog:"),
        (
            'tls_certificate = "/c"\ntls_key = "/k"',
            "tls_certificate: the monitors of a wrapped QEMU have no TLS; have it listen on 127.0.0.1, or on a unix socket",
        ),
    ],
)
def test_what_cannot_be_meant_for_a_wrapped_qemu(path: Path, text: str, told: str) -> None:
    path.write_text(f"[defaults]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_call_as_qemu(QEMU, [], {CONFIG_VARIABLE: str(path)})
    assert str(caught.value) == f"{path}: {told}"


def test_terms_of_listeners_hold_for_all_monitors() -> None:
    config = parse_wrap(("--role", "read-only", *CALLED), {}).config
    assert config is not None
    assert config.terms_at("unix:anything") == config.terms != Terms()
