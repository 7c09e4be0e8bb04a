"""Completion for bash, as bash itself completes."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from demo.terminal import Terminal
from release.completions.bash import bash_completion
from release.parsers import programs

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")

FILES: Final = {program.name: bash_completion(program) for program in programs()}
# bash's own (bash(1), COMP_WORDBREAKS), without blanks and quotes.
_BREAKS: Final = "><=;|&(:"
_DRIVER: Final = """\
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_${1//-/_}
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some files, in which the shell is."""
    for name in ("log-a.jsonl", "log b.jsonl", "a:b"):
        (tmp_path / name).write_text("")
    (tmp_path / "logs").mkdir()
    return tmp_path


def completed(folder: Path, *words: str, breaks: str = _BREAKS) -> list[str]:
    """Return what the last of these words, as bash takes a line apart, may become."""
    script = f"COMP_WORDBREAKS='{breaks}'\n{FILES[words[0]]}{_DRIVER}"
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return sorted(filter(None, done.stdout.split("\n")))


@pytest.mark.parametrize("name", FILES)
def test_bash_takes_the_file(name: str) -> None:
    done = subprocess.run(["bash", "-n"], input=FILES[name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["hmp-proxy", "pl"], ["plan"]),
        (["hmp-proxy", "re"], ["reload", "resume"]),
        (["hmp-audit", ""], ["check", "diff", "follow", "report", "scan"]),
        # Only the first word can be a subcommand.
        (["hmp-proxy", "--verbose", "pl"], []),
        (["hmp-proxy", "--log-f"], ["--log-format"]),
        (["hmp-proxy", "--log-format", ""], ["json", "text"]),
        (["hmp-proxy", "--log-format", "=", "j"], ["json"]),
        (["hmp-proxy", "--log-format", "="], ["json", "text"]),
        (["hmp-proxy", "plan", "--overwrite", "re"], ["refuse", "replace"]),
        (["hmp-proxy", "plan", "--metr"], []),
        (["hmp-proxy", "--metr"], ["--metrics"]),
        (["hmp-proxy", "--exclude", ""], []),
        (["hmp-proxy", "--config", "log"], ["log b.jsonl", "log-a.jsonl", "logs"]),
        (["hmp-proxy", "--config", "=", "log-"], ["log-a.jsonl"]),
        (["hmp-proxy", "--upstream", "unix", ":", "log-"], ["log-a.jsonl"]),
        (["hmp-proxy", "--upstream", "unix", ":", "a", ":"], ["b"]),
        (["hmp-proxy", "--upstream", "tcp", ":", "log-"], []),
        # An option with a value that may be left out.
        (["hmp-proxy", "--control", "log-"], ["log-a.jsonl"]),
        (["hmp-proxy", "--control", "--adm"], ["--admin"]),
        (["hmp-proxy", "status", "--js"], ["--json"]),
        (["hmp-proxy", "status", ""], []),
        (["hmp-proxy", "wrap", "--mode", "o"], ["observe"]),
        (["hmp-proxy", "wrap", "--", "bash", "log-"], ["log-a.jsonl"]),
        (["hmp-repl", "log-"], ["log-a.jsonl"]),
        (["hmp-repl", "--vi", "unix", ":", "log-"], ["log-a.jsonl"]),
        (["hmp-repl", "-c", ""], []),
        (["hmp-audit", "report", "log-"], ["log-a.jsonl"]),
        (["hmp-audit", "scan", "log"], ["logs"]),
        (["hmp-audit", "report", "--fail-on", "log"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_words(folder: Path, words: list[str], found: list[str]) -> None:
    assert completed(folder, *words) == found


def test_wrapper_completes_the_program_that_it_starts(folder: Path) -> None:
    assert "bash" in completed(folder, "hmp-proxy", "wrap", "--", "bas")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["hmp-repl", "unix:log-"], ["unix:log-a.jsonl"]),
        (["hmp-repl", "--policy=h"], ["--policy=hmp"]),
        (["hmp-repl", "--config=log-"], ["--config=log-a.jsonl"]),
    ],
)
def test_words_where_bash_is_told_to_take_none_apart(folder: Path, words: list[str], found: list[str]) -> None:
    assert completed(folder, *words, breaks=" ") == found


def test_keys_at_a_terminal(folder: Path) -> None:
    """With what readline makes of it."""
    (folder / "completions").write_text("".join(FILES.values()))
    environment = {"TERM": "xterm", "PS1": "$ ", "INPUTRC": "/dev/null"}
    with Terminal(["bash", "--norc", "--noprofile", "-i"], columns=80, rows=24, environment=environment) as terminal:
        terminal.press(f"cd {folder}; . ./completions; clear\r")
        try:
            for typed, shown in (
                ("hmp-proxy pl\t--overwrite=ref\t", "hmp-proxy plan --overwrite=refuse"),
                ("hmp-repl unix:log-\t--hist\tlog-\t", "hmp-repl unix:log-a.jsonl --history log-a.jsonl"),
                ("hmp-audit scan log\t", "hmp-audit scan logs/"),
            ):
                terminal.press(typed)
                terminal.wait_for(shown)
                terminal.press("\x15")
        finally:
            # It takes no SIGTERM at a terminal.
            terminal.press("\x15exit\r")
