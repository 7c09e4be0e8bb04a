"""Which word TAB completes, and what is inserted or listed (QEMU 7.2, 10.0 and 11.1)."""

import pytest

from proxy.human_monitor.completion import (
    MAX_MATCHES,
    MAX_WORD_BYTES,
    CompletionRequest,
    Wanted,
    insertion,
    listing,
    matching,
    split_words,
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  ", []),
        (b" info  st ", [b"info", b"st"]),
        (b'"info" "a b"', [b"info", b"a b"]),
        (b'"a"b', [b"a", b"b"]),
        (b'a"b c"', [b'a"b', b'c"']),
        (rb'"\n\r\\\'\""', [b"\n\r\\'\""]),
        (rb"\n 'a b'", [rb"\n", b"'a", b"b'"]),
        (b'""', [b""]),
        (b"\xff \xd0\x9b", [b"\xff", b"\xd0\x9b"]),
        (b"a" * 2000 + b" b", [b"a" * MAX_WORD_BYTES, b"b"]),
        (b'"' + b"a" * 2000 + b'" b', [b"a" * MAX_WORD_BYTES, b"b"]),
        (b'a "b', None),
        (b'"', None),
        (rb'"\x"', None),
        (b'"\\', None),
        (rb'"\"', None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_words(line: bytes, words: list[bytes] | None) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize(
    ("start", "words", "wanted"),
    [
        (b"", ("",), Wanted.COMMAND),
        (b" ", ("",), Wanted.COMMAND),
        (b"st", ("st",), Wanted.COMMAND),
        (b"info", ("info",), Wanted.COMMAND),
        (b"info ", ("info", ""), Wanted.TOPIC),
        (b'info "st"', ("info", "st"), Wanted.TOPIC),
        (b"info block ", ("info", "block", ""), Wanted.ARGUMENT),
        (b"drive_del vi", ("drive_del", "vi"), Wanted.ARGUMENT),
        (b"help", ("help",), Wanted.COMMAND),
        (b"help st", ("st",), Wanted.COMMAND),
        (b"? help info st", ("info", "st"), Wanted.TOPIC),
        (b"help drive_del vi", ("drive_del", "vi"), Wanted.ARGUMENT),
        (b"info help ", ("info", "help", ""), Wanted.ARGUMENT),
        (b"a " * 15, ("a",) * 15 + ("",), Wanted.ARGUMENT),
        (b"b\xff", ("b\udcff",), Wanted.COMMAND),
    ],
    ids=ascii,
)
def test_request(start: bytes, words: tuple[str, ...], wanted: Wanted) -> None:
    request = CompletionRequest.read(start)
    assert request is not None
    assert (request.words, request.word, request.wanted) == (words, words[-1], wanted)


@pytest.mark.parametrize("start", [b'info "st', b"a " * 16, b"a " * 16 + b"a"], ids=["quote", "blank after 16", "17"])
def test_nothing_is_completed(start: bytes) -> None:
    assert CompletionRequest.read(start) is None


def test_matches_are_sorted_by_their_bytes_and_each_is_there_once() -> None:
    assert matching(["stop", "s", "stats", "Status", "status", "stop", "é", "ß\udcff"], "") == [
        *(b"Status", b"s", b"stats", b"status", b"stop", "ß".encode() + b"\xff", "é".encode())
    ]
    assert matching(["stop", "s", "stats", "Status"], "st") == [b"stats", b"stop"]
    assert matching(["stop"], "stopx") == []
    assert matching([], "") == []


def test_first_256_matches_are_kept() -> None:
    """`device_add ` shows 256 of QEMU's types: the first of its table, then sorted."""
    names = [f"b{number:03}" for number in reversed(range(300))]
    assert matching(["a", *names], "b") == [name.encode() for name in sorted(names[:MAX_MATCHES])]


@pytest.mark.parametrize(
    ("matches", "typed_bytes", "inserted"),
    [
        ([], 3, b""),
        ([b"stop"], 2, b"op "),
        ([b"stop"], 4, b" "),
        ([b"dir/"], 1, b"ir/"),
        ([b"stats", b"status"], 2, b"at"),
        ([b"stats", b"status"], 4, b""),
        ([b"stop", b"stopcapture"], 3, b"p"),
        ([b"a", b"b"], 0, b""),
        ([b""], 0, b" "),
    ],
)
def test_insertion(matches: list[bytes], typed_bytes: int, inserted: bytes) -> None:
    assert insertion(matches, typed_bytes) == inserted


def test_list_has_columns_of_ten_bytes_or_more() -> None:
    assert listing([b"stats", b"status"]) == b"stats     status    \r\n"
    assert listing([b"a"] * 9) == b"a         " * 8 + b"\r\n" + b"a         \r\n"
    assert listing([b"stop", b"stopcapture"]) == b"stop         stopcapture  \r\n"


def test_list_of_long_names_has_one_column() -> None:
    assert listing([b"a" * 38, b"b"]) == b"a" * 38 + b"  b" + b" " * 39 + b"\r\n"
    assert listing([b"a" * 39, b"b"]) == b"a" * 39 + b"  \r\nb" + b" " * 40 + b"\r\n"
    assert listing([b"a" * 100, b"b"]) == b"a" * 100 + b"\r\nb" + b" " * 79 + b"\r\n"
