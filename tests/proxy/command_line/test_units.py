"""The command line of `hmp-proxy install-units`."""

import re

import pytest

from proxy.command_line import units
from proxy.command_line.invocations import InstallUnitsInvocation
from tests.support.proxy.command_lines import complaint, help_text, section


@pytest.mark.parametrize(
    ("words", "invocation"),
    [
        ("", InstallUnitsInvocation(is_for_user=False, is_forced=False, only_prints=False)),
        ("--user --force", InstallUnitsInvocation(is_for_user=True, is_forced=True, only_prints=False)),
        ("--print", InstallUnitsInvocation(is_for_user=False, is_forced=False, only_prints=True)),
    ],
)
def test_units_are_asked_for(words: str, invocation: InstallUnitsInvocation) -> None:
    assert units.parse(words.split()) == invocation


def test_help_has_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    found = section(help_text(capsys, ["install-units"]) + "\n", "exit status")
    assert re.findall(r"(?m)^ +(\d+)  \w", found) == ["0", "2", "3", "4", "5"]


def test_words_beside_the_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        complaint(capsys, ["install-units", "vm1"])
        == "hmp-proxy install-units: unrecognized arguments: vm1 (see hmp-proxy install-units --help)\n"
    )
