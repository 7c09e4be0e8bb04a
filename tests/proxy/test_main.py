"""`hmp-proxy`: which of its programs a call is for. test_program.py has the one, tests/proxy/wrapping/ the other."""

import sys

import pytest

from proxy import program
from proxy.__main__ import main
from proxy.wrapping import command


@pytest.mark.parametrize(
    ("arguments", "wraps"),
    [
        (["hmp-proxy"], False),
        (["hmp-proxy", "plan", "wrap"], False),
        (["hmp-proxy", "--verbose", "wrap"], False),
        (["hmp-proxy", "wrap"], True),
        (["/usr/bin/hmp-proxy", "wrap", "--help"], True),
        (["/usr/local/bin/qemu-system-x86_64"], True),
        (["qemu-system-arm", "plan"], True),
    ],
)
def test_name_or_first_word_decides(monkeypatch: pytest.MonkeyPatch, arguments: list[str], wraps: bool) -> None:
    seen: list[list[str]] = []

    def wrap(words: list[str]) -> int:
        seen.append(words)
        return 3

    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(command, "main", wrap)
    monkeypatch.setattr(program, "main", lambda: 4)
    monkeypatch.setattr("gc.disable", lambda: None)
    assert main() == (3 if wraps else 4)
    assert seen == ([arguments] if wraps else [])
