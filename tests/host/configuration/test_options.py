"""Options that the programs share: what they become, and how a mistake is told."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from host.configuration.options import (
    HelpFormatter,
    Parser,
    add_section,
    add_version,
    audit_of,
    choose_vm,
    policy_of,
    refuse_mixture,
)
from host.settings.config import AuditFailure, AuditSettings, VMConfig
from host.settings.settings import Program, Section
from shim.graph.patterns import Pattern
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind
from shim.records.confidential import Confidential
from shim.version import VERSION

FORMATTERS: Final = (HelpFormatter, argparse.RawDescriptionHelpFormatter)
VMS = """
[[vm]]
name = "a"
upstream = "unix:/a"
listen = "unix:/a.legacy"
[[vm]]
upstream = "unix:/b"
listen = "unix:/b.legacy"
"""


@pytest.fixture
def parser() -> Parser:
    parser = Parser(prog="tool")
    parser.add_argument("--config")
    add_section(parser, Program.PROXY, Section.POLICY)
    add_section(parser, Program.PROXY, Section.MODE)
    return parser


def test_no_option_is_the_default_policy(parser: Parser) -> None:
    assert policy_of(parser, parser.parse_args([])) == Policy()


def test_all_options_reach_the_policy(parser: Parser) -> None:
    words = "--policy hmp --vmstate a --vmstate b --include node:c --exclude kind:raw --overwrite refuse --no-guard"
    given = parser.parse_args([*words.split(), "--mode", "enforce", "--allow", "info"])
    assert policy_of(parser, given) == Policy(
        PolicyKind.HMP,
        vmstate=(Pattern(None, "a"), Pattern(None, "b")),
        include=(Pattern("node", "c"),),
        exclude=(Pattern("kind", "raw"),),
        overwrite=Overwrite.REFUSE,
        guard=False,
        mode=Mode.ENFORCE,
        allow=frozenset({"info"}),
    )


@pytest.mark.parametrize("words", ["--policy none", "--vmstate kind:x", "--overwrite maybe", "--nonsense"])
def test_mistake_is_told_in_one_line(parser: Parser, capsys: pytest.CaptureFixture[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(words.split())
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("tool: ")
    assert told.endswith("(see tool --help)\n")
    assert told.count("\n") == 1


def test_option_beside_a_file_is_refused(parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    refuse_mixture(parser, parser.parse_args(["--config", "f"]), ["config"])
    with pytest.raises(SystemExit):
        refuse_mixture(parser, parser.parse_args(["--config", "f", "--no-guard"]), ["config"])
    assert "--no-guard cannot be used with --config; write it into the file" in capsys.readouterr().err


def test_version_is_shown(parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    add_version(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"tool {VERSION}\n")


def vm_of(tmp_path: Path, parser: Parser, name: str | None) -> VMConfig:
    path = tmp_path / "hmpshim.toml"
    path.write_text(VMS)
    return choose_vm(parser, str(path), name)


@pytest.mark.parametrize(("name", "upstream"), [("a", "unix:/a"), ("unix:/b", "unix:/b")])
def test_vm_is_chosen_by_its_name_or_its_socket(tmp_path: Path, parser: Parser, name: str, upstream: str) -> None:
    assert str(vm_of(tmp_path, parser, name).upstream) == upstream


@pytest.mark.parametrize("name", [None, "c"])
def test_unclear_vm_is_an_error_that_names_the_choices(
    tmp_path: Path, parser: Parser, capsys: pytest.CaptureFixture[str], name: str | None
) -> None:
    with pytest.raises(SystemExit):
        vm_of(tmp_path, parser, name)
    assert "say which VM: --vm with one of a, unix:/b" in capsys.readouterr().err


ALL_AUDIT_OPTIONS = (
    *("--audit", "/log", "--audit-sync", "--audit-failure", "refuse", "--audit-redact", "tags,executables"),
    *("--audit-rotate-mib", "1", "--audit-rotate-hours", "1", "--audit-keep", "3"),
)


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ((), None),
        (("--audit-failure", "continue", "--audit-keep", "10"), None),
        (("--audit", "-"), AuditSettings("-")),
        (("--audit-sync",), AuditSettings(sync=True)),
        (
            ALL_AUDIT_OPTIONS,
            AuditSettings(
                "/log",
                sync=True,
                failure=AuditFailure.REFUSE,
                redact=frozenset({Confidential.TAGS, Confidential.EXECUTABLES}),
                rotate_bytes=1024 * 1024,
                rotate_age_s=3600,
                keep=3,
            ),
        ),
    ],
    ids=["none", "defaults", "standard output", "nowhere", "all"],
)
def test_options_of_the_audit_log_become_settings(arguments: tuple[str, ...], settings: AuditSettings | None) -> None:
    parser = Parser()
    add_section(parser, Program.PROXY, Section.LOG)
    assert audit_of(parser, parser.parse_args(arguments)) == settings


@pytest.mark.parametrize("columns", ["", "0", "x", "50", "123", "-5", "100000000000"])
@pytest.mark.parametrize("terminal_columns", [None, 0, 66])
def test_help_is_as_wide_as_argparse_makes_it(
    monkeypatch: pytest.MonkeyPatch, columns: str, terminal_columns: int | None
) -> None:
    def get_terminal_size(_: int) -> os.terminal_size:
        if terminal_columns is None:
            raise OSError
        return os.terminal_size((terminal_columns, 24))

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", get_terminal_size)
    ours, theirs = (argparse.ArgumentParser("tool", description="many words " * 20, formatter_class=one) for one in FORMATTERS)
    for one in (ours, theirs):
        one.add_argument("--option", help="many other words " * 20)
    assert ours.format_help() == theirs.format_help()


def test_help_without_standard_output_has_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert HelpFormatter("program")._width == 78
