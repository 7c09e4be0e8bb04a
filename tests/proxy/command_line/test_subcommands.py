"""The help of all that `hmp-proxy` does."""

import re
from collections.abc import Sequence
from typing import Final

import pytest

from host.settings.settings import SETTINGS, Program
from proxy.command_line.invocations import (
    AskInvocation,
    CheckInvocation,
    InstallUnitsInvocation,
    PlanInvocation,
    ServeInvocation,
)
from proxy.command_line.subcommands import SUBCOMMANDS, parse_command_line
from shim.printable import printable
from tests.support.proxy.command_lines import help_text, section

SERVE_OPTIONS: Final = (
    *(row.flag for row in SETTINGS if Program.PROXY in row.programs),
    *("--admin", "--check", "--config", "--control", "--log-format", "--metrics", "--replace", "--replaceable", "--verbose"),
    *("--version", "--help"),
)
PLAN_OPTIONS: Final = (
    *(row.flag for row in SETTINGS if Program.PLAN in row.programs),
    *("--config", "--vm", "--json", "--help"),
)


WIRE: Final = "--upstream unix:/q --listen unix:/l"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (WIRE, ServeInvocation),
        (f"--check {WIRE}", CheckInvocation),
        ("plan --upstream unix:/q savevm", PlanInvocation),
        ("status", AskInvocation),
        ("pause vm1", AskInvocation),
        ("install-units", InstallUnitsInvocation),
    ],
)
def test_first_word_tells(line: str, kind: type) -> None:
    assert type(parse_command_line(line.split())) is kind


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("stat", "status"), ("upgrad", "upgrade"), ("diconnect", "disconnect"), ("warp", "wrap"), ("x\x1b", "")],
)
def test_mistyped_subcommand_is_told_the_nearest(capsys: pytest.CaptureFixture[str], name: str, nearest: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line([name, "vm1"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(f"hmp-proxy: no such subcommand '{printable(name)}'; there are {nearest}")
    assert (told.count("\n"), sum(f" {known}" in told for known in (*SUBCOMMANDS, "wrap"))) == (1, len(SUBCOMMANDS) + 1)


@pytest.mark.parametrize(("arguments", "options"), [((), SERVE_OPTIONS), (("plan",), PLAN_OPTIONS)], ids=["serve", "plan"])
def test_help_has_every_option_with_a_meaning(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], options: Sequence[str]
) -> None:
    shown = help_text(capsys, arguments)
    explained = re.findall(r"(?m)^  (?:-h, )?(--[a-z-]+)(?: [\w{},\[\]]+)?(?:  +|\n {20,})\w", shown)
    assert sorted(explained) == sorted(options)


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [((), ["0", "2", "3", "4", "5", "6", "7", "8", "130"]), (("plan",), ["0", "2", "3", "4", "5"])],
    ids=["serve", "plan"],
)
def test_help_has_every_exit_status(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], statuses: Sequence[str]
) -> None:
    found = section(help_text(capsys, arguments) + "\n", "exit status")
    assert sorted(re.findall(r"(?:^|  )(\d+)  \w", found, re.MULTILINE), key=int) == statuses


@pytest.mark.parametrize("name", ["plan", "--take-over", "SIGHUP", "SIGTERM"])
def test_help_tells_of(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert name in section(help_text(capsys, ()), "examples") + help_text(capsys, ()).partition("exit status")[2]


@pytest.mark.parametrize("arguments", [(), ("plan",)], ids=["serve", "plan"])
def test_help_promises_nothing_below_that_is_not_there(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> None:
    shown = help_text(capsys, arguments)
    for what in re.findall(r"\((\w+): see\s+below\)", shown):
        assert re.search(rf"(?m)^{what}\b.*:$", shown), what
