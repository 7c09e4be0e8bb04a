"""Completion for zsh, as zsh itself completes where it is installed."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from demo.terminal import Terminal
from release.completions.zsh import zsh_completion
from release.parsers import programs

FILES: Final = {program.name: zsh_completion(program) for program in programs()}
needs_zsh: Final = pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")


def test_options_have_what_can_follow_them() -> None:
    file = FILES["hmp-proxy"]
    assert file.startswith("#compdef hmp-proxy\n")
    for line in (
        "'--check[report all mistakes in the configuration, and end]'",
        "'--log-format=[how the log is written]:text json:(text json)'",
        "'--config=[read all settings from a TOML file, for any number of VMs]:FILE:_files'",
        "'--upstream=[QEMU'\\''s QMP socket]:ADDRESS:_hmp_proxy_address'",
        "'*--exclude=[a node that no snapshot takes]:PATTERN:'",
        "'--json[print one JSON object]'",
        "'*::QEMU:_normal'",
    ):
        assert f" {line}" in file
    assert "]::PATH:_hmp_proxy_address'" in file
    assert "'*-c+[run this command, then exit]:COMMAND:'" in FILES["hmp-repl"]
    assert "'*:file:_files -/'" in FILES["hmp-audit"]
    assert "'1:command:((report\\:'\\''Report which tools" in FILES["hmp-audit"]


@needs_zsh
def test_keys_at_a_terminal(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / f"_{name}").write_text(text)
    (tmp_path / "log-a.jsonl").write_text("")
    with Terminal(["zsh", "-f"], columns=100, rows=24, environment={"TERM": "xterm", "PS1": "$ "}) as terminal:
        terminal.press(f"cd {tmp_path}; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -D -u; clear\r")
        try:
            for typed, shown in (
                ("hmp-proxy pl\t--overwrite ref\t", "hmp-proxy plan --overwrite refuse"),
                ("hmp-repl unix:log-\t--vi\t", "hmp-repl unix:log-a.jsonl --vi"),
                ("hmp-audit rep\t--html=log-\t", "hmp-audit report --html=log-a.jsonl"),
            ):
                terminal.press(typed)
                terminal.wait_for(shown)
                terminal.press("\x15")
        finally:
            terminal.press("\x15exit\r")
