"""README and the pages of docs/ against the product: what they name exists, and their tables agree with the programs."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from audit.fail_on import CONDITIONS
from audit.reporting.report import Fate, State
from audit.reporting.switch import Agreement
from host.settings.settings import SETTINGS, Program
from proxy.command_line.invocations import Question
from repl.lines.lines import OWN_COMMANDS
from shim.graph.patterns import KEYS, KINDS
from shim.graph.policy import Mode
from tests.support.checkout import ROOT

_PAGES: Final = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
}
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
# A path in a code span: a file of a kind that the checkout has, or a folder.
_PATH: Final = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|toml|sh|svg|png|css|js)|/))`")
# A class or a function in a code span.
_IDENTIFIER: Final = re.compile(r"`(_?[a-z]+(?:_[a-z]+)+|[A-Z][A-Za-z]*[a-z])`")
_PACKAGES: Final = ("shim", "host", "proxy", "repl", "audit")
# Where options are documented: the page, and the header of its table.
_POLICY_TABLE: Final = ("docs/policies.md", "| option | in the file | default | |")
_SETTINGS_TABLES: Final = (
    _POLICY_TABLE,
    *((page, _POLICY_TABLE[1]) for page in ("docs/proxy.md", "docs/audit.md", "docs/rules.md")),
)
_PROMPT_TABLE: Final = ("docs/prompt.md", "| option of `hmp-repl` | default | |")
_AUDIT_TABLE: Final = ("docs/audit.md", "| option of `hmp-audit` | default | |")
# A test in a code span, and the case of it that is meant.
_TEST: Final = re.compile(r"`(test_\w+)(?:\[([^\]`]+)\])?`")
# They stand for any.
_NOT_IN_THE_CHECKOUT: Final = frozenset({"x.py", "test_x.py", "nightly.py"})


@pytest.fixture(scope="module")
def help_text() -> str:
    """What `hmp-proxy --help` prints, and `hmp-proxy plan --help` after it."""
    return "\n".join(_help("proxy", *words) for words in (["--help"], ["plan", "--help"]))


@pytest.fixture(scope="module")
def units_help_text() -> str:
    """What `hmp-proxy install-units --help` prints."""
    return _help("proxy", "install-units", "--help")


@pytest.fixture(scope="module")
def wrap_help_text() -> str:
    """What `hmp-proxy wrap --help` prints."""
    return _help("proxy", "wrap", "--help")


@pytest.fixture(scope="module")
def prompt_help_text() -> str:
    """What `hmp-repl --help` prints."""
    return _help("repl", "--help")


@pytest.fixture(scope="module")
def audit_help_text() -> str:
    """What `hmp-audit --help` prints, and the help of its commands after it."""
    return "\n".join(_help("audit", *words, "--help") for words in ([], ["report"], ["follow"], ["check"], ["scan"]))


@pytest.fixture(scope="module")
def usage() -> str:
    """What `./run help` prints."""
    return subprocess.run(["./run", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def asking_help_text() -> str:
    """What `hmp-proxy status --help` prints, and the help of its like after it."""
    return "\n".join(_help("proxy", question, "--help") for question in Question)


def _help(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def _exit_statuses(help_text: str) -> dict[str, str]:
    lines = help_text.partition("exit status:\n")[2].partition("\n\n")[0].splitlines()
    cells = [cell for line in lines for cell in re.split(r" {3,}", line.strip())]
    return dict(re.split(r"\s+", cell, maxsplit=1) for cell in cells)


def _options(help_text: str) -> dict[str, str]:
    """Return the options of a program, each with its default as `--help` words it; "" where it names none."""
    found = re.findall(r"(?m)^  (--?[a-z][a-z-]*)(.*(?:\n {10,}.*)*)", help_text)
    meanings = {option: " ".join(re.sub(r"-\n +", "-", meaning).split()) for option, meaning in found}
    defaults = {option: re.search(r"\(default:? ([^)]*)\)", meaning) for option, meaning in meanings.items()}
    return {option: found[1] if found else "" for option, found in defaults.items() if option not in ("-h", "--version")}


def _told_options(page: str, header: str) -> dict[str, list[str]]:
    """Return the options of a table, each with the cells between it and its meaning, without units and marks of code."""
    rows = [[cell.replace("`", "") for cell in row] for row in _rows(page, header)]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0].split()[0]: [re.sub(r"^(\d+) (?:s|MiB)$", r"\1", cell) for cell in row[1:-1]] for row in rows}


def _rows(page: str, header: str) -> list[list[str]]:
    """Return the cells of the table whose header line begins like this."""
    _, found, rest = _PAGES[page].partition(f"\n{header}")
    assert found, f"{page} has no table {header!r}"
    lines = rest.splitlines()[2:]
    table = lines[: next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def _in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to a page's headings."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"(?m)^#+ (.*)$", prose)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_leads_to_every_page() -> None:
    linked = {link for link in _LINK.findall(_PAGES["README.md"]) if link.endswith(".md")}
    assert linked == {page for page in _PAGES if page != "README.md"}


@pytest.mark.parametrize("page", _PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(_PAGES[page]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", _PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    named = [path for path in _PATH.findall(_PAGES[page]) if Path(path).name not in _NOT_IN_THE_CHECKOUT]
    missing = [path for path in named if not any(base.joinpath(path).exists() for base in (ROOT, ROOT / "docs"))]
    assert missing == []


def test_what_works_with_a_tool_names_tests_that_there_are() -> None:
    """A case is found by its name among the texts of the integration tests."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("tests/integration/**/*.py")))
    items = re.split(r"\n(?=\* |\n)", _PAGES["docs/tools.md"])
    claims = [item for item in items if item.startswith("* **Works:**")]
    assert len(claims) > 10
    assert [claim for claim in claims if not _TEST.search(claim)] == []
    named = _TEST.findall(_PAGES["docs/tools.md"])
    assert [name for name, _ in named if f"\ndef {name}(" not in sources] == []
    assert [case for _, case in named if case and f'"{case}"' not in sources] == []


def test_names_that_the_architecture_page_gives_are_in_the_code() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for name in _PACKAGES for path in sorted(ROOT.glob(f"{name}/**/*.py")))
    named = set(_IDENTIFIER.findall(_PAGES["docs/architecture.md"]))
    assert {"HMPCommand", "to_members", "Policy"} <= named
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", sources)] == []


def test_files_are_found_in_the_text() -> None:
    assert {"shim/hmp/line.py", "proxy/routing/", "tests/test_architecture.py"} <= set(
        _PATH.findall(_PAGES["docs/architecture.md"])
    )


# The list of changes also names what is no option of a program, or is one no more.
@pytest.mark.parametrize("page", [page for page in _PAGES if page != "CHANGELOG.md"])
def test_options_that_a_page_names_exist(
    page: str,
    help_text: str,
    units_help_text: str,
    wrap_help_text: str,
    asking_help_text: str,
    prompt_help_text: str,
    audit_help_text: str,
) -> None:
    # Those of pip, QEMU and apt are in no page; one of systemctl's is, and one of virsh's.
    named = set(_OPTION.findall(_PAGES[page])) - {"--help", "--now", "--hmp"}
    helps = help_text + units_help_text + wrap_help_text + asking_help_text + prompt_help_text + audit_help_text
    assert sorted(named - set(_OPTION.findall(helps))) == []


def test_subcommands_that_ask_are_all_told() -> None:
    told = {
        _in_code(cell)[0].split()[1]: _in_code(option)
        for cell, option, _ in _rows("docs/operating.md", "| subcommand | asks | |")
    }
    assert told == {question.value: ["--admin" if question.acts else "--control"] for question in Question}


def test_options_are_found_in_the_text() -> None:
    assert {"--take-over", "--stop-timeout"} <= set(_OPTION.findall(_PAGES["docs/proxy.md"]))


@pytest.mark.parametrize("page", _PAGES)
def test_commands_of_run_that_a_page_names_exist(page: str, usage: str) -> None:
    assert set(re.findall(r"\./run ([a-z-]+)", _PAGES[page])) <= set(re.findall(r"\./run ([a-z-]+)", usage))


def test_readme_names_the_first_commands_of_run() -> None:
    assert set(re.findall(r"\./run ([a-z-]+)", _PAGES["README.md"])) >= {"demo", "test", "prompt"}


@pytest.mark.parametrize("page", _PAGES)
def test_variables_that_a_page_names_are_read_somewhere(page: str) -> None:
    readers = [ROOT / "run", *ROOT.glob("tests/**/*.py"), ROOT / "tests" / "qemu-matrix.sh"]
    texts = [path.read_text(encoding="utf-8") for path in readers]
    named = set(re.findall(r"\bHMPSHIM_[A-Z_]+", _PAGES[page]))
    assert [name for name in named if not any(name in text for text in texts)] == []


def test_exit_statuses_agree_with_help(
    help_text: str, units_help_text: str, wrap_help_text: str, prompt_help_text: str, audit_help_text: str
) -> None:
    assert dict(_rows("docs/proxy.md", "| exit status | |")) == _exit_statuses(help_text)
    of_units = dict(_rows("docs/operating.md", "| exit status of `hmp-proxy install-units` | |"))
    assert of_units == _exit_statuses(units_help_text)
    of_wrapper = re.findall(r"(?m)^  (\d+) +(.*)$", wrap_help_text.partition("exit status:\n")[2])
    assert dict(_rows("docs/wrapper.md", "| exit status of `hmp-proxy wrap` | |")) == dict(of_wrapper)
    assert dict(_rows("docs/prompt.md", "| exit status of `hmp-repl` | |")) == _exit_statuses(prompt_help_text)
    assert dict(_rows("docs/audit.md", "| exit status of `hmp-audit` | |")) == _exit_statuses(audit_help_text)


@pytest.mark.parametrize(
    ("page", "option", "told"),
    [
        ("docs/proxy.md", "--client-buffer", "16 MiB"),
        ("docs/proxy.md", "--stop-timeout", "80 s"),
        ("docs/proxy.md", "--connect-timeout", "30 seconds"),
        ("docs/transparency.md", "--abandon-after", "5 s"),
        ("docs/transparency.md", "--abandon-load-after", "1 s"),
    ],
)
def test_defaults_agree_with_help(help_text: str, page: str, option: str, told: str) -> None:
    default = re.search(rf"(?m)^  {option} .*?\(default\s+(\d+)\)", help_text, re.DOTALL)
    assert default is not None
    assert default[1] == told.partition(" ")[0]
    assert re.search(rf"{told}\s[^.]*\(`{option}`\)", _PAGES[page])


def test_queries_that_the_proxy_page_names_are_asked() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("shim/**/*.py")))
    named = set(re.findall(r"`((?:x-debug-)?query-[a-z-]+)`", _PAGES["docs/proxy.md"]))
    assert "query-named-block-nodes" in named
    assert [query for query in sorted(named) if f'"{query}"' not in sources] == []


def test_modes_are_all_told() -> None:
    assert [name.strip("`") for name, _ in _rows("docs/proxy.md", "| `--mode` | |")] == list(Mode)


def test_patterns_are_all_told() -> None:
    told = {name: _in_code(meaning) for name, meaning in _rows("docs/policies.md", "| pattern | matches |")}
    assert told["`KEY:GLOB`"] == [key for key in KEYS if key != "kind"]
    assert told["`kind:KIND`"] == list(KINDS)


def test_states_and_conditions_of_the_report_are_all_told() -> None:
    states = [State.MODERN, State.COVERED, State.BLOCKED, State.QUIET]
    assert [name.strip("`") for name, _ in _rows("docs/audit.md", "| state | |")] == states
    assert [name.strip("`") for name, _ in _rows("docs/audit.md", "| there | |")] == list(Fate)
    assert [name.strip("`") for name, _ in _rows("docs/audit.md", "| answer | |")] == list(Agreement)
    (told,) = re.findall(r"`--fail-on` takes (.*?)\n\n", _PAGES["docs/audit.md"], re.DOTALL)
    assert re.findall(r"`(\w+)`", told) == list(CONDITIONS)


def test_tables_of_options_are_those_that_are_compared() -> None:
    tables = [(page, header) for page, text in _PAGES.items() for header in re.findall(r"(?m)^\| option\b.*$", text)]
    assert sorted(tables) == sorted((*_SETTINGS_TABLES, _PROMPT_TABLE, _AUDIT_TABLE))


def test_options_of_the_proxy_are_told_with_their_defaults(help_text: str, wrap_help_text: str) -> None:
    told = {option: default for table in _SETTINGS_TABLES for option, (_, default) in _told_options(*table).items()}
    assert told == _options(wrap_help_text) | _options(help_text)


def test_options_of_the_prompt_are_told_with_their_defaults(prompt_help_text: str) -> None:
    told = {option: default for option, (default,) in _told_options(*_PROMPT_TABLE).items()}
    of_policy = {option: default for option, (_, default) in _told_options(*_POLICY_TABLE).items()}
    not_the_prompts = {setting.flag for setting in SETTINGS if Program.PROMPT not in setting.programs}
    assert of_policy.keys() & not_the_prompts == {"--strict"}
    del of_policy["--strict"]
    assert told | of_policy == _options(prompt_help_text)


def test_options_of_the_audit_are_told_with_their_defaults(audit_help_text: str) -> None:
    assert {option: default for option, (default,) in _told_options(*_AUDIT_TABLE).items()} == _options(audit_help_text)


def test_options_of_install_units_are_all_told(units_help_text: str) -> None:
    section = _PAGES["docs/operating.md"].partition("## Under systemd\n")[2].partition("\n### ")[0]
    assert set(_options(units_help_text)) <= set(_OPTION.findall(section))


def test_keys_of_the_file_are_told_with_their_options() -> None:
    told = {option: key.partition(" = ")[0] for table in _SETTINGS_TABLES for option, (key, _) in _told_options(*table).items()}
    assert {option: key for option, key in told.items() if key} == {setting.flag: setting.key for setting in SETTINGS}


def test_options_and_defaults_are_found_in_a_help() -> None:
    shown = """\
options:
  -h, --help   show this
  --far N      so far, or as far as hmp-
               audit goes (default
               9)
  --by WAY     on foot

--no-option
"""
    assert _options(shown) == {"--far": "9", "--by": ""}


def test_commands_of_the_prompt_are_all_told() -> None:
    told = " ".join(cell for cell, *_ in _rows("docs/prompt.md", "| command | |"))
    for command in OWN_COMMANDS:
        assert f"`{command.names[0]}" in told


def test_addresses_agree_with_help(help_text: str) -> None:
    listed = help_text.partition("addresses:\n")[2].partition("\n\n")[0].splitlines()
    named = [name for cell, *_ in _rows("docs/proxy.md", "| address | for | |") for name in _in_code(cell)]
    assert [line.split()[0] for line in listed] == [name for name in named if name != "accept:tcp:HOST:PORT"]
