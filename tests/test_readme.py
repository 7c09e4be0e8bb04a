"""README.md against the product: what it names exists, and its tables agree."""

import re
import subprocess
import sys
from typing import Final

import pytest

from audit.fail_on import CONDITIONS
from audit.report import State
from repl.lines import OWN_COMMANDS
from tests.support.checkout import ROOT

_README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def help_text() -> str:
    """What `hmp-proxy --help` prints, and `hmp-proxy plan --help` behind it."""
    return "\n".join(_help("proxy", *words) for words in (["--help"], ["plan", "--help"]))


@pytest.fixture(scope="module")
def prompt_help_text() -> str:
    """What `hmp-repl --help` prints."""
    return _help("repl", "--help")


@pytest.fixture(scope="module")
def audit_help_text() -> str:
    """What `hmp-audit --help` prints, and the help of its commands behind it."""
    return "\n".join(_help("audit", *words, "--help") for words in ([], ["report"], ["follow"], ["check"]))


def _help(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _exit_statuses(help_text: str) -> dict[str, str]:
    lines = help_text.partition("exit status:\n")[2].partition("\n\n")[0].splitlines()
    cells = [cell for line in lines for cell in re.split(r" {3,}", line.strip())]
    return dict(re.split(r"\s+", cell, maxsplit=1) for cell in cells)


def _rows(header: str) -> list[list[str]]:
    """Give the cells of the table whose header line begins like this."""
    _, found, rest = _README.partition(f"\n{header}")
    assert found, f"README has no table {header!r}"
    lines = rest.splitlines()[2:]
    table = lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_options_that_readme_names_exist(help_text: str, prompt_help_text: str, audit_help_text: str) -> None:
    # The other options are those of pip, QEMU and apt, and in none of their code spans.
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", _README)) - {"--help"}
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text + prompt_help_text + audit_help_text))
    assert named
    assert sorted(named - known) == []


def test_exit_statuses_agree_with_help(help_text: str, prompt_help_text: str, audit_help_text: str) -> None:
    assert dict(_rows("| exit status | |")) == _exit_statuses(help_text)
    assert dict(_rows("| exit status of `hmp-repl` | |")) == _exit_statuses(prompt_help_text)
    assert dict(_rows("| exit status of `hmp-audit` | |")) == _exit_statuses(audit_help_text)


def test_states_and_conditions_of_the_report_are_all_told() -> None:
    assert [name.strip("`") for name, _ in _rows("| state | |")] == [State.MODERN, State.COVERED, State.BLOCKED]
    (told,) = re.findall(r"`--fail-on` takes (.*?)\n\n", _README, re.DOTALL)
    assert re.findall(r"`(\w+)`", told) == list(CONDITIONS)


def test_commands_of_the_prompt_are_all_told() -> None:
    told = " ".join(cell for cell, *_ in _rows("| command | |"))
    for command in OWN_COMMANDS:
        assert f"`{command.names[0]}" in told


def test_addresses_agree_with_help(help_text: str) -> None:
    listed = help_text.partition("addresses:\n")[2].partition("\n\n")[0].splitlines()
    named = [name for cell, *_ in _rows("| address | for | |") for name in re.findall(r"`([^`]+)`", cell)]
    assert [line.split()[0] for line in listed] == [name for name in named if name != "accept:tcp:HOST:PORT"]


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_relative_links_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link and not link.startswith("#")]
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_commands_of_run_that_readme_names_exist() -> None:
    usage = subprocess.run(["./run", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"\./run ([a-z]+)", _README))
    assert named >= {"demo", "test"}
    assert named <= set(re.findall(r"\./run ([a-z]+)", usage))
