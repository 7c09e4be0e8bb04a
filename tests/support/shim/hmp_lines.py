"""HMP command lines, and what HMP reads in them; tests/integration/hmp/test_line_against_qemu.py runs them on a real QEMU."""

from typing import Final

__all__ = ["ARGUMENTS", "BLANKS", "MALFORMED_ARGUMENTS", "NOT_BLANKS", "NOT_OURS", "TAGS", "UNWRITABLE_TAGS"]

BLANKS = [" ", "\t", "\n", "\v", "\f", "\r"]


# Python calls these blank, C's isspace() does not.
NOT_BLANKS = ["\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u2003", "\u2028", "\u3000", "\ufeff", "\x7f", "\x00"]
ARGUMENTS = {
    "t": "t",
    "1": "1",
    "-x": "-x",
    "--": "--",
    "$x": "$x",
    "%s": "%s",
    "#x": "#x",
    "a;b": "a;b",
    "a/b": "a/b",
    "a\\nb": "a\\nb",
    "a\\": "a\\",
    'un"ter': 'un"ter',
    'q"x"y': 'q"x"y',
    "'s'": "'s'",
    "é": "é",
    "日本": "日本",
    "😀": "😀",
    "a\x01b": "a\x01b",
    "t\x00x": "t\x00x",
    '""': "",
    '"a b"': "a b",
    '"  "': "  ",
    '"a\nb"': "a\nb",
    '"/"': "/",
    '"#"': "#",
    r'"a\nb"': "a\nb",
    r'"a\rb"': "a\rb",
    r'"a\\b"': "a\\b",
    r'"a\\nb"': "a\\nb",
    r'"a\'b"': "a'b",
    r'"a\"b"': 'a"b',
    r'"\""': '"',
    r'"\\"': "\\",
}


MALFORMED_ARGUMENTS = [
    "a b",
    "t1 # c",
    "a;loadvm b c",
    "a\nsavevm b",
    "a\x0bb",
    "'s q'",
    '"',
    '"unterminated',
    '"unterminated ',
    r'"unterminated\"',
    '"a"b',
    '"a" b',
    '"a""b"',
    '"a"/',
    r'"a\t"',
    r'"a\0"',
    r'"a\x41"',
    r'"a\/"',
    '"a\\\nb"',
    '"a\\',
]


NOT_OURS = [
    "",
    " ",
    "   ",
    "\n",
    "SAVEVM x",
    "Savevm x",
    "savev x",
    "savevmx x",
    "savevm\\ x",
    'savevm"x"',
    '"savevm" t',
    "#savevm x",
    "# c",
    "/savevm x",
    "\ufeffsavevm",
    "\u00a0savevm",
    "savevm\u00a0t",
    "help savevm",
    "? savevm",
    "stop",
    "info",
    "info snapshot",
    "info Snapshots",
    'info "snapshots"',
    "info snapshots x",
    "info snapshots/x",
    "info snapshots/",
    "info /snapshots",
    "info/snapshots",
    "Info snapshots",
    "infosnapshots",
    "info block",
]


TAGS: Final = {
    "t1": "t1",
    "a-b_c.d": "a-b_c.d",
    "é日😀": "é日😀",
    "-x": "-x",
    "/x": "/x",
    "'s'": "'s'",
    'un"ter': 'un"ter',
    "a\\nb": "a\\nb",
    "a\\": "a\\",
    "a\0b": "a\0b",
    "a\u00a0b": "a\u00a0b",
    "": '""',
    " ": '" "',
    "a b": '"a b"',
    " a": '" a"',
    "a ": '"a "',
    "a\tb": '"a\tb"',
    "a\nb": r'"a\nb"',
    "a\rb": r'"a\rb"',
    '"': r'"\""',
    '"a"': r'"\"a\""',
    'a "b"': r'"a \"b\""',
    "a b\\": r'"a b\\"',
    "a \\n": r'"a \\n"',
    "it's a tag": '"it\'s a tag"',
}

# HMP's buffer has no room for them, or JSON has no such character.
UNWRITABLE_TAGS: Final = ("\ud800", "a\uffffb", "a" * 1024, "é" * 512, "a " * 600)
