"""Command lines that are wrong, and their help."""

from collections.abc import Sequence

import pytest

from proxy.command_line.subcommands import parse_command_line

__all__ = ["complaint", "help_text", "section"]


def complaint(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_command_line(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def help_text(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_command_line([*arguments, "--help"])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def section(text: str, title: str) -> str:
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
