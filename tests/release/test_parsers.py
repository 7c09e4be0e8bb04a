"""The parsers are those that read the command lines, all of them."""

import subprocess
import sys

import pytest

from host.configuration.options import Parser
from release.parsers import Program, choices_of, groups_of, help_of, options_of, positionals_of, programs, value_of
from tests.support.checkout import ROOT

PROGRAMS = {program.name: program for program in programs()}


@pytest.fixture(params=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def test_all_subcommands_are_there() -> None:
    assert list(PROGRAMS) == ["hmp-proxy", "hmp-repl", "hmp-audit"]
    asked = ["status", "clients", "metrics", "disconnect", "pause", "resume", "reload", "upgrade"]
    assert list(PROGRAMS["hmp-proxy"].commands) == ["plan", *asked, "install-units", "wrap"]
    assert list(PROGRAMS["hmp-repl"].commands) == []
    assert {"report", "follow", "check", "scan"} <= set(PROGRAMS["hmp-audit"].commands)


def test_subcommands_have_the_help_that_they_are_known_by(program: Program) -> None:
    for name, parser in program.commands.items():
        assert parser.prog == f"{program.name} {name}"
        assert parser.description


def test_help_is_as_it_was_afterwards() -> None:
    assert "print_help" not in vars(Parser)
    package = {"hmp-proxy": "proxy", "hmp-repl": "repl", "hmp-audit": "audit"}["hmp-audit"]
    done = subprocess.run(
        [sys.executable, "-m", package, "check", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: hmp-audit check ")


def test_options_have_their_values_and_meanings() -> None:
    parser = PROGRAMS["hmp-repl"].parser
    options = {action.option_strings[-1]: action for action in options_of(parser)}
    assert value_of(options["--vi"]) is None
    assert value_of(options["--settings"]) == "FILE"
    assert (value_of(options["--policy"]), choices_of(options["--policy"])) == ("{auto,hmp}", ("auto", "hmp"))
    assert help_of(parser, options["--version"]) == "show the version and exit"
    assert "%" not in help_of(PROGRAMS["hmp-audit"].commands["follow"], options_of(PROGRAMS["hmp-audit"].commands["follow"])[1])
    assert [value_of(action) for action in positionals_of(parser)] == ["ADDRESS"]
    titles = dict(groups_of(parser))
    assert options["--settings"] in titles["at a terminal"]


def test_value_without_a_name_has_that_of_its_option() -> None:
    parser = Parser("x")
    assert value_of(parser.add_argument("--far-away")) == "FAR_AWAY"
