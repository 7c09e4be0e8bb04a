"""Position: QEMU 11.1's `LINE:COLUMN: `, whatever pieces the stream comes in."""

import pytest

from proxy.qmp_json.lexer import SKIPPED, Lexer
from proxy.qmp_json.position import Position


def places(*pieces: bytes) -> list[str]:
    """Return the place of each token, strays included."""
    lexer, place = Lexer(1 << 20), Position()
    given = []
    for piece in pieces:
        for kind, end, length in lexer.tokens(piece, 0):
            if kind is SKIPPED:
                place.note_recovery(end)
            else:
                given.append(place.of(piece, end - length).removesuffix(": "))
        place.pass_piece(piece, lexer)
    return given


@pytest.mark.parametrize(("stream", "expected"), [
    (b"{}", ["1:1", "1:2"]),
    (b" \t\r{", ["1:4"]),
    (b"\n\n {\r\n}", ["3:2", "4:1"]),
    (b"\"\xc3\xa9\":", ["1:1", "1:5"]),
    (b"12,'a'[", ["1:1", "1:4", "1:4", "1:7"]),  # 1:4 twice: the comma was counted at the end of 12
    (b"tru]", ["1:1", "1:5"]),
    (b"tru ]", ["1:1", "1:5"]),
    (b"#x]{", ["1:1", "1:4", "1:4"]),
    (b"#\n]", ["1:1", "2:1"]),
    (b'"x\x01\n\n]', ["1:1", "3:1"]),
    (b'"x\n]', ["1:1", "2:2"]),
])  # fmt: skip
def test_places_count_bytes_in_whatever_pieces(stream: bytes, expected: list[str]) -> None:
    assert places(stream) == expected
    assert places(*(bytes([byte]) for byte in stream)) == expected
    for cut in range(len(stream)):
        assert places(stream[:cut], b"", stream[cut:]) == expected


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_many_lines_in_one_piece_are_counted(count: int) -> None:
    assert places(b"\n" * count + b" {") == [f"{count + 1}:2"]
    assert places(b"\n" * count, b"{") == [f"{count + 1}:1"]
    assert places(b"\nab" * count + b"{") == [f"{line}:1" for line in range(2, count + 2)] + [f"{count + 1}:4"]
