"""Completion for fish, as fish itself completes where it is installed."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from release.completions.fish import fish_completion
from release.parsers import programs

FILES: Final = {program.name: fish_completion(program) for program in programs()}
needs_fish: Final = pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
IN_PLAN: Final = "test (count (commandline -opc)) -ge 2; and test (commandline -opc)[2] = plan"


def test_options_have_what_can_follow_them() -> None:
    file = FILES["hmp-proxy"]
    assert "complete -c hmp-proxy -f\n" in file
    assert (
        f"complete -c hmp-proxy -n '{IN_PLAN}' -l config -r -F -d 'read all settings from a TOML file, for any number of VMs'\n"
        in file
    )
    assert f"complete -c hmp-proxy -n '{IN_PLAN}' -l policy -x -a 'auto hmp' -d 'policy'\n" in file
    assert " -l control -d 'a socket for questions'\n" in file
    assert "complete -c hmp-repl -s c -x -d 'run this command, then exit'\n" in FILES["hmp-repl"]
    assert "complete -c hmp-repl -F\n" in FILES["hmp-repl"]
    assert " -a scan -d 'Find where sources and scripts use HMP'\n" in FILES["hmp-audit"]


@needs_fish
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hmp-proxy pl", ["plan"]),
        ("hmp-proxy plan --over", ["--overwrite"]),
        ("hmp-proxy plan --overwrite ref", ["refuse"]),
        ("hmp-proxy --metr", ["--metrics"]),
        ("hmp-proxy plan --metr", []),
        ("hmp-repl --policy h", ["hmp"]),
        ("hmp-repl log-", ["log-a.jsonl"]),
        ("hmp-audit report --fail-on log-", []),
        ("hmp-audit report log-", ["log-a.jsonl"]),
    ],
)
def test_words(tmp_path: Path, line: str, found: list[str]) -> None:
    (tmp_path / "log-a.jsonl").write_text("")
    (tmp_path / "all.fish").write_text("".join(FILES.values()))
    script = f"source all.fish; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [one.partition("\t")[0] for one in done.stdout.splitlines()] == found
    assert done.stderr == ""
