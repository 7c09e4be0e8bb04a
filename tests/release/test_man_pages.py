"""The manual pages: what is in them, that groff takes them, and that they are the same each time."""

import re
import shutil
import subprocess
from datetime import date
from typing import Final

import pytest

from release.man_pages import man_page
from release.parsers import Program, options_of, programs
from shim.version import VERSION

PROGRAMS: Final = {program.name: program for program in programs()}
needs_groff: Final = pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")


@pytest.fixture(params=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def shown(program: Program) -> str:
    """Return the page as a terminal shows it, in one line, with words that were divided put together."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=200n"],
        input=man_page(program),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return " ".join(re.sub("\u2010\n +", "", done.stdout).split())


@needs_groff
def test_page_has_no_fault_and_all_options_with_their_meaning(program: Program) -> None:
    page = shown(program)
    for parser in (program.parser, *program.commands.values()):
        for action in options_of(parser):
            assert f" {', '.join(action.option_strings)} " in page
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
        assert f" {section} " in page
    for name in program.commands:
        assert f" {program.name} {name} " in f" {page.partition(' COMMANDS ')[2]}"


@needs_groff
def test_page_says_what_the_help_says() -> None:
    page = shown(PROGRAMS["hmp-repl"])
    assert "NAME hmp-repl - prompt for QEMU's monitor SYNOPSIS hmp-repl [OPTION...] [ADDRESS] DESCRIPTION" in page
    assert "--settings FILE read keys, colors, aliases and more from FILE" in page
    assert "tcp:HOST:PORT the same on TCP; [::1] for IPv6" in page
    assert "FILES ~/.config/hmpshim/repl.toml keys," in page
    assert "SYNOPSIS hmp-proxy [OPTION...] hmp-proxy plan [OPTION...] COMMAND..." in shown(PROGRAMS["hmp-proxy"])
    assert "hmp-proxy wrap [OPTION...] -- QEMU ARGUMENT..." in shown(PROGRAMS["hmp-proxy"])
    assert "--control [PATH] a socket for questions" in shown(PROGRAMS["hmp-proxy"])


def test_page_is_the_same_on_another_day(program: Program) -> None:
    assert man_page(program) == man_page(program)
    assert man_page(program).startswith(f'.TH {program.name.upper()} 1 "" "hmpshim {VERSION}" "User Commands"\n')
    assert str(date.today()) not in man_page(program)


def test_page_is_ascii_and_no_text_is_a_command_to_the_formatter(program: Program) -> None:
    page = man_page(program)
    assert page.isascii()
    assert {line.split()[0] for line in page.splitlines() if line.startswith(".")} <= {
        *(".TH", ".SH", ".SS", ".TP", ".PP", ".br", ".nf", ".fi"),
    }
    assert [line for line in page.splitlines() if line.startswith("'")] == []
