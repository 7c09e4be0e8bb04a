"""Lines of standard input; tests/repl/carried_out/test_script_input.py has what scripts make of them."""

import asyncio
import os
import sys
from collections.abc import Sequence

import pytest

from repl.standard_input import read_some, standard_input


def lines_of(parts: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    async def read() -> list[str]:
        return [line async for line in standard_input()]

    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as source:
        monkeypatch.setattr(sys, "stdin", source)
        for part in parts:
            os.write(writer, part)
        os.close(writer)
        return asyncio.run(read())


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([], []),
        ([b"a\nb"], ["a", "b"]),
        ([b"a", b"b\n", b"\nc\n"], ["ab", "", "c"]),
        ([b"\xff\n"], ["\udcff"]),
        ([b'{"a":\n', b' "\xff"}\nb\n{"a" 1\nc'], ['{"a":\n "\udcff"}', "b", '{"a" 1', "c"]),
        ([b'qmp a {\n\n"b":1}', b"\n"], ['qmp a {\n\n"b":1}']),
        ([b'{"a":\n'], ['{"a":\n']),
    ],
)
def test_lines_are_those_between_line_feeds_and_json_is_one(
    parts: list[bytes], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines_of(parts, monkeypatch) == lines


def test_nothing_is_read_once_an_event_is_set() -> None:
    async def read() -> bytes:
        ended = asyncio.Event()
        ended.set()
        reader, writer = os.pipe()
        os.write(writer, b"a")
        try:
            return await read_some(reader, (ended,))
        finally:
            os.close(reader)
            os.close(writer)

    assert asyncio.run(read()) == b""
