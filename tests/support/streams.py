"""Streams of bytes, and what QEMU takes them for; tests/integration/wire/test_dialect_against_qemu.py shows that it does.

A stream gives values and texts of errors.
"""

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from shim.qmp import QEMUVersion

__all__ = ["FAMILIES", "NESTED_1024", "NEWEST", "NO_OBJECT", "OLDER", "SNIPPETS", "STREAMS", "STREAMS_FROM_11_1", "read_all"]

# The newest that was measured of each family.
OLDER = QEMUVersion(10, 0, 13)
NEWEST = QEMUVersion(11, 1, 3)
FAMILIES = (OLDER, NEWEST)

EXPECTING_VALUE = "JSON parse error, expecting value"
NO_OBJECT = "QMP input must be a JSON object"
NO_UTF8 = "JSON parse error, invalid UTF-8 sequence in string"
NO_SEPARATOR = "JSON parse error, expected separator in dict"

# As QEMU 5.2, 7.2 and 10.0 answer.
STREAMS: list[tuple[bytes, list[object]]] = [
    # What ends a command
    (b'{"a":1}', [{"a": 1}]),
    (b'{"a":1}{"b":2}\r\n', [{"a": 1}, {"b": 2}]),
    (b'\n\n \t{\r\n"a"\n:\t1 }\r\n\r\n', [{"a": 1}]),
    (b'{"a":"}{"}', [{"a": "}{"}]),
    (b'{"a":[{"b":[]},{}]}', [{"a": [{"b": []}, {}]}]),
    (b"", []),
    (b"\r\n \t", []),
    (b'{"a":"x', []),
    # What QEMU takes
    (b"{'a':'it\\'s \"x\"'}", [{"a": 'it\'s "x"'}]),
    (b'{"a":"it\'s \\\'x\\\' \\/"}', [{"a": "it's 'x' /"}]),
    (b'{"a":"\\u0000\\b\\f\\n\\r\\t\\\\\\""}', [{"a": '\0\b\f\n\r\t\\"'}]),
    (b'{"a":"\x7f\xc0\x80\xc3\xa9\\u00e9"}', [{"a": "\x7f\0\xe9\xe9"}]),
    (b'{"a":"\\ud83d\\uDE00\xf0\x9f\x98\x80"}', [{"a": "\U0001f600\U0001f600"}]),
    (b'{"a":[true,false,null]}', [{"a": [True, False, None]}]),
    (b'{"a":[0,-0,10,-1,1.5,-0.5e-1,1e2,1E+2]}', [{"a": [0, 0, 10, -1, 1.5, -0.05, 100.0, 100.0]}]),
    (b'{"a":18446744073709551615,"b":-9223372036854775808}', [{"a": 2**64 - 1, "b": -(2**63)}]),
    (b'{"a":18446744073709551616,"b":-9223372036854775809}', [{"a": 2.0**64, "b": -(2.0**63)}]),
    (b'{"":{"":1}}', [{"": {"": 1}}]),
    # Values that are no command
    (b"[]", [NO_OBJECT]),
    (b'"x"', [NO_OBJECT]),
    (b"5", []),
    (b"5 ", [NO_OBJECT]),
    (b"-1.5e3\n", [NO_OBJECT]),
    (b"true", []),
    (b"null{}", [NO_OBJECT, {}]),
    (b"truenul\n", ["JSON parse error, invalid keyword 'truenul'"]),
    (b"0e1\n", [NO_OBJECT, "JSON parse error, invalid keyword 'e'", NO_OBJECT]),
    (b"1 2\n", [NO_OBJECT, NO_OBJECT]),
    (b'[{"a":1}]', [NO_OBJECT]),
    # Strays
    (b"#", ["JSON parse error, stray '#'"]),
    (b"# \t'\"{}", ["JSON parse error, stray '#'", {}]),
    (b'#"\n{}', ["JSON parse error, stray '#'", {}]),
    (b"##\n#", ["JSON parse error, stray '#'", "JSON parse error, stray '#'"]),
    (b"\xff", ["JSON parse error, stray '\ufffd'"]),
    (b"\xff\xff\n", ["JSON parse error, stray '\ufffd'"] * 2),
    (b"\xfe", ["JSON parse error, stray '\ufffd'"]),
    (b"\x00", ["JSON parse error, stray ''"]),
    (b"\x00\x01\n", ["JSON parse error, stray ''", "JSON parse error, stray '\x01'"]),
    (b"\x7f\n", ["JSON parse error, stray '\x7f'"]),
    (b'\xef\xbb\xbf{"a":1}', ["JSON parse error, stray '\ufffd'", {"a": 1}]),
    (b'{"a":#}', ["JSON parse error, stray '#'", EXPECTING_VALUE]),
    (b'{"a":%d}', ["JSON parse error, stray '%'", EXPECTING_VALUE]),
    (b'{"a":1/*c*/}', ["JSON parse error, stray '/'", EXPECTING_VALUE]),
    (b"// x\n{}", ["JSON parse error, stray '/'", {}]),
    (b'{"a":"x\ty"}', ["JSON parse error, stray '\"x\t'", EXPECTING_VALUE]),
    (b'{"a":"x\ny"}\n', ["JSON parse error, stray '\"x\n'", EXPECTING_VALUE]),
    (b'{"a":"x\xff"}', ["JSON parse error, stray '\"x\ufffd'", EXPECTING_VALUE]),
    (b'{"a":"x\\\x01"}', ["JSON parse error, stray '\"x\\\x01'", EXPECTING_VALUE]),
    (b'{"a":"x\x00"}', ["JSON parse error, stray '\"x'", EXPECTING_VALUE]),
    (b'"\xc3\x01\n', ["JSON parse error, stray '\"\ufffd\x01'"]),
    (b'{"a":01}', ["JSON parse error, stray '01'", EXPECTING_VALUE]),
    (b'{"a":-01}', ["JSON parse error, stray '-01'", EXPECTING_VALUE]),
    (b'{"a":+1}', ["JSON parse error, stray '+'", EXPECTING_VALUE]),
    (b'{"a":.5}', ["JSON parse error, stray '.'", EXPECTING_VALUE]),
    (b'{"a":-}\n', ["JSON parse error, stray '-}'"]),
    (b'{"a":1.}\n', ["JSON parse error, stray '1.}'"]),
    (b'{"a":1e}\n', ["JSON parse error, stray '1e}'"]),
    (b'{"a":1e+}\n', ["JSON parse error, stray '1e+}'"]),
    (b'{"a":1.5.5}', ["JSON parse error, stray '.'", EXPECTING_VALUE]),
    (b'{"a":NaN}', ["JSON parse error, stray 'N'", EXPECTING_VALUE]),
    (b'{"a":Infinity}', ["JSON parse error, stray 'I'", EXPECTING_VALUE]),
    (b'{"a":-Infinity}', ["JSON parse error, stray '-I'", EXPECTING_VALUE]),
    (b'{"a":TRUE}', ["JSON parse error, stray 'T'", EXPECTING_VALUE]),
    (b'{"a":\xc3\xa9}', ["JSON parse error, stray '\ufffd'", EXPECTING_VALUE]),
    # Tokens in the wrong place
    (b"}", [EXPECTING_VALUE]),
    (b"]}", [EXPECTING_VALUE] * 2),
    (b",", [EXPECTING_VALUE]),
    (b":{}", [EXPECTING_VALUE, {}]),
    (b"{]", [EXPECTING_VALUE]),
    (b'{"a":[1}]}', ["JSON parse error, expected separator in list", EXPECTING_VALUE]),
    (b"[}", [EXPECTING_VALUE]),
    (b'{"a":1,}', [EXPECTING_VALUE]),
    (b"{,}", [EXPECTING_VALUE]),
    (b'{"a":[1,]}', [EXPECTING_VALUE]),
    (b'{"a":}', [EXPECTING_VALUE]),
    (b'{"a"}', ["JSON parse error, missing : in object pair"]),
    (b'{"a" 1}', ["JSON parse error, missing : in object pair"]),
    (b'{"a":1 "b":2}', [NO_SEPARATOR]),
    (b'{"a":[1 2]}', ["JSON parse error, expected separator in list"]),
    (b'{"a":0e1}', [NO_SEPARATOR]),
    (b'{"a":-0e1}', [NO_SEPARATOR]),
    (b"{1:2}", ["JSON parse error, key is not a string in object"]),
    (b"{{}:2}", ["JSON parse error, key is not a string in object"]),
    (b"{[1]:2}", ["JSON parse error, key is not a string in object"]),
    (b"{null:2}", ["JSON parse error, key is not a string in object"]),
    (b"{nope:2}", ["JSON parse error, invalid keyword 'nope'"]),
    (b'{"a":tru}', ["JSON parse error, invalid keyword 'tru'"]),
    (b'{"a":truefalse}', ["JSON parse error, invalid keyword 'truefalse'"]),
    (b"[" + b"q" * 1100 + b"]", ["JSON parse error, invalid keyword '" + "q" * 1006]),
    (b'{"a":1,"a":1}', ["JSON parse error, duplicate key"]),
    (b'{"a":{"b":1,\'\\u0062\':2}}', ["JSON parse error, duplicate key"]),
    (b'{"a":1,"a":tru}', ["JSON parse error, invalid keyword 'tru'"]),
    # Strings
    (b'{"a":"\\q"}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\\\xc3\xa9"}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\\ud800"}', ["JSON parse error, \\ud800 is not a valid Unicode character"]),
    (b'{"a":"\\udc00"}', ["JSON parse error, \\udc00 is not a valid Unicode character"]),
    (b'{"a":"\\ud800x"}', ["JSON parse error, \\ud800 is not a valid Unicode character"]),
    (b'{"a":"\\uD800\\u0041"}', ["JSON parse error, \\uD800 is not a valid Unicode character"]),
    (b'{"a":"\\ud83f\\udffe"}', ["JSON parse error, \\ud83f\\udffe is not a valid Unicode character"]),
    (b'{"a":"\\uffff"}', ["JSON parse error, \\uffff is not a valid Unicode character"]),
    (b'{"a":"\\uFDD0"}', ["JSON parse error, \\uFDD0 is not a valid Unicode character"]),
    (b'{"a":"\\u12"}', ['JSON parse error, \\u12" is not a valid Unicode character']),
    (b'{"a":"\\u12g4"}', ["JSON parse error, \\u12g4 is not a valid Unicode character"]),
    (b'{"a":"\\u"}', ['JSON parse error, \\u" is not a valid Unicode character']),
    (b'{"a":"\\u\\"abc"}', ['JSON parse error, \\u\\"ab is not a valid Unicode character']),
    (b'{"a":"\\u123\xc3\xa9"}', ["JSON parse error, \\u123\ufffd is not a valid Unicode character"]),
    (b'{"a":"\xc3("}', [NO_UTF8]),
    (b'{"a":"\x80"}', [NO_UTF8]),
    (b'{"a":"\xc1\x81"}', [NO_UTF8]),
    (b'{"a":"\xed\xa0\x80"}', [NO_UTF8]),
    (b'{"a":"\xef\xbf\xbf"}', [NO_UTF8]),
    (b'{"a":"\xef\xb7\x90"}', [NO_UTF8]),
    (b'{"a":"\xf0\x9f\xbf\xbe"}', [NO_UTF8]),
    (b'{"a":"\xf4\x90\x80\x80"}', [NO_UTF8]),
    (b'{"a":"\xfd\xbf\xbf\xbf\xbf\xbf"}', [NO_UTF8]),
    (b'{"a":"\\q\xc3("}', ["JSON parse error, invalid escape sequence in string"]),
    (b'{"a":"\xc3\\q"}', [NO_UTF8]),
    (b'{"a":"\xe0\xbf\xbf\xef\xb7\x81"}', [{"a": "\u0fff\ufdc1"}]),
]

# As QEMU 11.1 answers to the first bytes of a connection; "~" stands for "JSON parse error, ".
_STREAMS_FROM_11_1: list[tuple[bytes, list[object]]] = [
    # Places: of bytes, from 1
    (b'\r\n\t {"a":1}#', [{"a": 1}, "2:10: ~stray '#'"]),
    (b"#", ["1:1: ~stray '#'"]),
    (b"\n#", ["2:1: ~stray '#'"]),
    (b"\r\n#", ["2:1: ~stray '#'"]),
    (b"\r#", ["1:2: ~stray '#'"]),
    (b"\t #", ["1:3: ~stray '#'"]),
    (b'{"a":"\xc3\xa9"#}', ["1:10: ~stray '#'", "1:12: ~expecting value"]),
    (b"# x\n  #", ["1:1: ~stray '#'", "2:3: ~stray '#'"]),
    (b'"abc\n\n#', ["1:1: ~stray '\"abc\n'", "3:1: ~stray '#'"]),
    (b'{"a"\n:1,\n  }', ["3:3: ~expecting key"]),
    # A byte that ended a token is counted already
    (b"5#", [NO_OBJECT, "1:3: ~stray '#'"]),
    (b"5}", [NO_OBJECT, "1:3: ~expecting value"]),
    (b"5 }", [NO_OBJECT, "1:3: ~expecting value"]),
    (b"5\n}", [NO_OBJECT, "2:1: ~expecting value"]),
    (b'"x"}', [NO_OBJECT, "1:4: ~expecting value"]),
    (b'5"\x01', [NO_OBJECT, "1:3: ~stray '\"\x01'"]),
    (b"true}", [NO_OBJECT, "1:6: ~expecting value"]),
    (b"#}", ["1:1: ~stray '#'", "1:3: ~expecting value"]),
    (b"#\r}", ["1:1: ~stray '#'", "1:3: ~expecting value"]),
    (b"#x\x01}", ["1:1: ~stray '#'", "1:4: ~stray '\x01'", "1:5: ~expecting value"]),
    (b"#,,#", ["1:1: ~stray '#'", "1:3: ~expecting value", "1:3: ~expecting value", "1:4: ~stray '#'"]),
    (b"\xff\xfe", ["1:1: ~stray '\ufffd'", "1:3: ~stray '\ufffd'"]),
    (b"[5,}", ["1:4: ~expecting value"]),
    (b'{"a":5"b"}', ["1:8: ~expected ',' or '}'"]),
    (b'{"a":5 "b"}', ["1:8: ~expected ',' or '}'"]),
    (b"0e1\n", [NO_OBJECT, "1:3: ~invalid keyword 'e'", NO_OBJECT]),
    # Words
    (b"}", ["1:1: ~expecting value"]),
    (b"{]", ["1:2: ~expecting key"]),
    (b"{,}", ["1:2: ~expecting key"]),
    (b"{1:2}", ["1:2: ~expecting key"]),
    (b"{{}:2}", ["1:2: ~expecting key"]),
    (b"{nope:2}", ["1:2: ~expecting key"]),
    (b'{"a" 1}', ["1:6: ~expecting ':'"]),
    (b'{"a"}', ["1:5: ~expecting ':'"]),
    (b'{"a":}', ["1:6: ~expecting value"]),
    (b'{"a":1,}', ["1:8: ~expecting key"]),
    (b'{"a":1 2}', ["1:8: ~expected ',' or '}'"]),
    (b"[1 2]", ["1:4: ~expected ',' or ']'"]),
    (b"[1,]", ["1:4: ~expecting value"]),
    (b'{"a":tru}', ["1:6: ~invalid keyword 'tru'"]),
    (b'{"a":"\\q"}', ["1:6: ~invalid escape sequence in string"]),
    (b'{"a":"x\xc3("}', ["1:6: ~invalid UTF-8 sequence in string"]),
    (b'{"a":"\\ud800"}', ["1:6: ~\\ud800 is not a valid Unicode character"]),
    (b'{"a":1,"a":[2 ]}', ["1:15: ~duplicate key"]),
    (b'{"a":1,"a":tru}', ["1:12: ~invalid keyword 'tru'"]),
    # What is left of a spoilt value is passed over
    (b"[}]", ["1:2: ~expecting value", "1:3: ~expecting value"]),
    (b'{"a":[1}]}', ["1:9: ~expected ',' or ']'", "1:10: ~expecting value"]),
    (b'{"a":[5}#}', ["1:9: ~expected ',' or ']'", "1:11: ~expecting value"]),
    (b"{,#}", ["1:2: ~expecting key", "1:5: ~expecting value"]),
    (b'{,"\x01\n]}', ["1:2: ~expecting key", "2:1: ~expecting value", "2:2: ~expecting value"]),
    (b"{,[{]]}{}", ["1:2: ~expecting key", "1:7: ~expecting value", {}]),
    (b'{,"\\q",tru,01}', ["1:2: ~expecting key", "1:15: ~expecting value"]),
    (b'{,{"a":1}}{}', ["1:2: ~expecting key", {}]),
    (b":{}", ["1:1: ~expecting value", {}]),
    # An error comes with its token
    (b'{"a" 1,', ["1:6: ~expecting ':'"]),
    (b'{"a":1 "b"', ["1:8: ~expected ',' or '}'"]),
    (b"{,[[", ["1:2: ~expecting key"]),
]
STREAMS_FROM_11_1 = [
    (stream, [item.replace("~", "JSON parse error, ") if isinstance(item, str) else item for item in given])
    for stream, given in _STREAMS_FROM_11_1
]

NESTED_1024 = b'{"a":' + b"[" * 1023 + b"]" * 1023 + b"}"

# Pieces that make garbage interesting.
SNIPPETS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"'", b'"a"', b"'b'", b"1", b"-", b"0", b"1.5e3", b"true", b"nul", b"E", b".",
    b"\\", b'\\"', b"\\u00e9", b"\\ud83d", b"\\ude00", b"\xff", b"\xfe", b"\x00", b"\n", b" ", b"\t", b"#", b"%s", b"+",
    b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbf\xbf", b'{"execute":"x"}', b'{"a":[1,2,{"b":"c"}]}\r\n',
]  # fmt: skip


def read_all(framer: CommandFramer, data: bytes) -> list[Command | Malformed]:
    """Feed a piece, and return all that it completes."""
    found = framer.feed(data)
    while framer.has_input:
        found += framer.read()
    return found
