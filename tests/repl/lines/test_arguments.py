"""The arguments of a QMP command as they are typed, with and without the schema, and commands that are JSON as a whole."""

import json
import re
from typing import Any, Final

import pytest

from repl.lines.arguments import is_unfinished, last_line, split_arguments, whole_lines
from repl.lines.lines import QMPLine, read_line
from tests.support.repl.typed_lines import FACTS, NOTHING_KNOWN, fault


@pytest.mark.parametrize(
    ("rest", "arguments"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a": [1, {"a": 2}], "b": {"a": null}}  ', {"a": [1, {"a": 2}], "b": {"a": None}}),
        ('{"}": "{,", "b": "\\""}', {"}": "{,", "b": '"'}),
        ("a=1", {"a": 1}),
        ("a=-1.5 b=true c=null d=x", {"a": -1.5, "b": True, "c": None, "d": "x"}),
        ("a=", {"a": ""}),
        ("a= b=1", {"a": "", "b": 1}),
        ('a="x y" b=2', {"a": "x y", "b": 2}),
        ('a="5" b="" c="\\u00e9\\n"', {"a": "5", "b": "", "c": "é\n"}),
        ("a.b=c a.d=5 e=6", {"a": {"b": "c", "d": 5}, "e": 6}),
        ("a.b.c=1 a.b.d=2", {"a": {"b": {"c": 1, "d": 2}}}),
        ('a=["x y", "z"] b={"c": [1, 2]}', {"a": ["x y", "z"], "b": {"c": [1, 2]}}),
        ("a=[::1] b={x", {"a": "[::1]", "b": "{x"}),
        ("a=[1]x", {"a": "[1]x"}),
        ('a=b"c', {"a": 'b"c'}),
        ("a=b=c", {"a": "b=c"}),
        ("a=5x b=1e3 c=01", {"a": "5x", "b": 1000.0, "c": "01"}),
        ("a=NaN b=-Infinity c=1e999 d=[NaN]", {"a": "NaN", "b": "-Infinity", "c": "1e999", "d": "[NaN]"}),
        ("a=" + "9" * 5000, {"a": "9" * 5000}),
        ("a=" + "[" * 100_000, {"a": "[" * 100_000}),
        ("a=/x/y.img b=-1- c='x", {"a": "/x/y.img", "b": "-1-", "c": "'x"}),
        ("a=x\u00a0y", {"a": "x\u00a0y"}),
    ],
    ids=range(23),
)
def test_qmp_arguments_without_a_schema(rest: str, arguments: dict[str, Any]) -> None:
    """Text is what no JSON is."""
    assert read_line(f"qmp some-command {rest}", NOTHING_KNOWN) == QMPLine("some-command", arguments)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("qmp stop", {}),
        ("qmp snapshot-save job-id=1 tag=true devices=[]", {"job-id": "1", "tag": "true", "devices": []}),
        ("qmp snapshot-save job-id=[1, 2] tag=null devices=5", {"job-id": "[1, 2]", "tag": "null", "devices": 5}),
        ('qmp snapshot-save job-id="1" tag="a b" devices=["d0"]', {"job-id": "1", "tag": "a b", "devices": ["d0"]}),
        ("qmp snapshot-save tag=[::1] devices=d0 job-id=", {"tag": "[::1]", "devices": "d0", "job-id": ""}),
        ("qmp object-add qom-type=secret id=7 limit=7", {"qom-type": "secret", "id": "7", "limit": 7}),
        ("qmp object-add qom-type=iothread id=x loaded=true", {"qom-type": "iothread", "id": "x", "loaded": True}),
        ("qmp set-mode at.x=5 speed=1.5 mode=keep", {"at": {"x": 5}, "speed": 1.5, "mode": "keep"}),
        # QEMU takes any property of the device.
        ("qmp device_add driver=x id=5 drive=d0 x.y=1", {"driver": "x", "id": "5", "drive": "d0", "x": {"y": 1}}),
        ("qmp qom-set path=/x value=5", {"path": "/x", "value": 5}),
        ("qmp stop {}", {}),
        ('qmp snapshot-save {"job-id": 1, "tag": "t", "devices": []}', {"job-id": 1, "tag": "t", "devices": []}),
    ],
    ids=range(12),
)
def test_qmp_arguments_by_the_schema(line: str, arguments: dict[str, Any]) -> None:
    read = read_line(line, FACTS)
    assert read == QMPLine(line.split()[1], arguments)


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("qmp", 3, "qmp needs the name of a command"),
        (" qmp ", 5, "qmp needs the name of a command"),
        ("qmp sotp", 4, "unknown QMP command 'sotp'; did you mean 'stop'?"),
        ("qmp snapshot_save a=1", 4, "unknown QMP command 'snapshot_save'; did you mean 'snapshot-save'?"),
        ("qmp {}", 4, "unknown QMP command '{}'"),
        # JSON
        ('qmp stop {"a" 1}', 14, "not JSON: Expecting ':' delimiter"),
        ("qmp stop {", 10, "not JSON: Expecting property name enclosed in double quotes"),
        ('qmp stop {"a": "b}', 15, "not JSON: Unterminated string"),
        ('qmp stop {"a": 1', 16, "not JSON: Expecting ',' delimiter"),
        ('qmp stop {"a": NaN}', 9, "not JSON: NaN is not a number"),
        ('qmp stop {"a": -Infinity}', 9, "not JSON: -Infinity is not a number"),
        ('qmp stop {"a": 1e999}', 9, "not JSON: 1e999 is not a number"),
        ('qmp stop {"a": "\\ud800"}', 9, "QEMU does not take the character U+D800"),
        ('qmp stop {"a\\uffff": 1}', 9, "QEMU does not take the character U+FFFF"),
        ("qmp stop []", 9, "the arguments must be a JSON object"),
        ('qmp stop "a"', 9, "the arguments must be a JSON object"),
        ("qmp stop {} x", 12, "extraneous characters at the end of the line"),
        ("qmp stop {}}", 11, "extraneous characters at the end of the line"),
        ('qmp set-mode {"at": {"q": 1}, "mod": 1}', 30, "unknown argument 'mod'; did you mean 'mode'?"),
        ('qmp set-mode {"at": 1, "speed": {"at": 2}, "at": 3}', 43, "argument 'at' is given twice"),
        ('qmp set-mode {"mode": "keep", "speed": "at"}', 44, "missing argument 'at'"),
        # key=value
        ("qmp stop 5", 9, "'5' is not key=value; arguments are that or one JSON object"),
        ("qmp stop now x=1", 9, "'now' is not key=value; arguments are that or one JSON object"),
        ("qmp device_add =x", 15, "'=x' is not key=value; arguments are that or one JSON object"),
        ("qmp device_add a..b=x", 15, "'a..b=x' is not key=value; arguments are that or one JSON object"),
        ("qmp device_add a.=x", 15, "'a.=x' is not key=value; arguments are that or one JSON object"),
        ("qmp set-mode at.x=1 mod=x", 20, "unknown argument 'mod'; did you mean 'mode'?"),
        ("qmp set-mode zzz.x=1", 13, "unknown argument 'zzz'"),
        ("qmp stop a=1", 9, "unknown argument 'a'"),
        ("qmp device_add driver=a driver=b", 24, "argument 'driver' is given twice"),
        ("qmp device_add a.b=1 a=2", 21, "argument 'a' is given twice"),
        ("qmp device_add a=1 a.b=2", 19, "argument 'a.b' is given twice"),
        ("qmp device_add a.b.c=1 a.b.c=2", 23, "argument 'a.b.c' is given twice"),
        ('qmp device_add driver="a b', 22, "not JSON: Unterminated string"),
        ('qmp device_add driver="a\\qb"', 24, "not JSON: Invalid \\escape"),
        ('qmp device_add driver="a"b', 25, "extraneous characters after the closing quote"),
        ('qmp device_add driver="\\udc00"', 22, "QEMU does not take the character U+DC00"),
        # Missing
        ("qmp device_add", 14, "missing argument 'driver'"),
        ("qmp device_add id=x ", 20, "missing argument 'driver'"),
        ("qmp snapshot-save tag=x", 23, "missing arguments 'job-id', 'devices'"),
        ("qmp snapshot-save {}", 20, "missing arguments 'job-id', 'tag', 'devices'"),
        ("qmp qom-set path=/x property=y", 30, "missing argument 'value'"),
        # The first of two.
        ("qmp set-mode mode=a nonsense mode=b", 20, "'nonsense' is not key=value; arguments are that or one JSON object"),
        ("qmp set-mode nonsense=1 nonsense", 13, "unknown argument 'nonsense'"),
    ],
)
def test_malformed_qmp_line(line: str, position: int, message: str) -> None:
    assert fault(line) == (position, message)


@pytest.mark.parametrize("line", ["qmp nonsense", "qmp stop a=1", "qmp device_add", "qmp snapshot-save {}"])
def test_qmp_line_is_not_judged_without_a_schema(line: str) -> None:
    assert isinstance(read_line(line, NOTHING_KNOWN), QMPLine)


def test_json_that_is_nested_too_deeply_is_a_fault() -> None:
    position, message = fault('qmp stop {"a": ' + "[" * 100_000)
    assert position == 9
    assert message.startswith("not JSON: ")


def test_typed_arguments_know_where_they_are() -> None:
    line = 'qmp x  a.b=1 c="x y" d=[1, 2]'
    assert [(one.start, one.path, one.text, one.value) for one in split_arguments(line, 5)] == [
        (7, ("a", "b"), "1", 1),
        (13, ("c",), "x y", "x y"),
        (21, ("d",), "[1, 2]", [1, 2]),
    ]


# -- commands that are JSON as a whole -------------------------------------------------------------------------------------

SAVE: Final = """\
{ "execute": "snapshot-save",
  "arguments": {
    "job-id": "{1",

    "tag" : "t}", "devices": [ "d0" ,
    "d1" ] },
  "id": 1.5 }"""
SAVED: Final = QMPLine("snapshot-save", {"job-id": "{1", "tag": "t}", "devices": ["d0", "d1"]})


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ('{"execute": "stop"}', QMPLine("stop", {})),
        (' \t{"arguments": {}, "execute": "stop", "id": null} ', QMPLine("stop", {})),
        (SAVE, SAVED),
        (SAVE.replace("\n", " "), SAVED),
        (SAVE.replace('"', "'"), SAVED),
        (
            "{'execute': 'qom-set', \"arguments\": {'path': \"it's\", 'value': 'a\\n'}}",
            QMPLine("qom-set", {"path": "it's", "value": "a\n"}),
        ),
        ("qmp qom-set {'path': 'a',\n 'value': 5}", QMPLine("qom-set", {"path": "a", "value": 5})),
    ],
)
def test_command_is_taken_as_qmp_has_it(line: str, read: QMPLine) -> None:
    assert read_line(line, FACTS) == read
    assert read_line(line, NOTHING_KNOWN) == read


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("{", 1, "not JSON: Expecting property name enclosed in double quotes"),
        ('{"execute": "stop"', 18, "not JSON: Expecting ',' delimiter"),
        ('{"execute": "stop"} x', 20, "extraneous characters at the end of the line"),
        ('{"execute": "sotp"}', 12, "unknown QMP command 'sotp'; did you mean 'stop'?"),
        ('{"execute" :\n 5}', 14, "write the name of a command in quotes"),
        ('{"execute": ""}', 12, "write the name of a command in quotes"),
        ('{"exec-oob": "stop"}', 1, "the prompt sends nothing out of band; write execute"),
        ('{"excute": "stop"}', 1, "unknown member of a command 'excute'; did you mean 'execute'?"),
        ('{"execute": "stop", "execute": "cont"}', 20, "'execute' is given twice"),
        ('{"arguments": {}}', 0, 'a QMP command needs "execute"'),
        ('{"execute": "stop", "arguments": []}', 33, "the arguments must be a JSON object"),
        ('{"execute": "snapshot-save"}', 27, "missing arguments 'job-id', 'tag', 'devices'"),
        ('{"execute": "snapshot-save",\n"arguments":\n{"tga": 1}}', 43, "unknown argument 'tga'; did you mean 'tag'?"),
        ('{"execute": "qom-set", "arguments": {"path": "a"}}', 48, "missing argument 'value'"),
        ("{'execute': 'it\\'s'}", 12, "not JSON: Expecting value"),
        ('{"execute": NaN}', 0, "not JSON: NaN is not a number"),
    ],
)
def test_command_that_is_wrong_says_where(line: str, position: int, message: str) -> None:
    assert fault(line) == (position, message)


@pytest.mark.parametrize("text", [SAVE, SAVE.replace('"', "'"), "qmp snapshot-save " + SAVE])
@pytest.mark.parametrize("tail", ["", "\n", " \n\n\t"])
def test_json_goes_on_until_it_is_whole(text: str, tail: str) -> None:
    """Wherever it may be cut, and whatever blanks and empty rows follow."""
    begin = text.index("{") + 1
    ends = [found.end() for found in re.finditer(r"[\"'][^\"']*[\"']|[\d.]+|[{}\[\],:]", text) if found.end() >= begin]
    assert len(ends) > 20
    for end in ends[:-1]:
        assert is_unfinished(text[:end] + tail)
        assert whole_lines(text[:end] + tail) == (text[:end] + tail,)
    assert not is_unfinished(text + tail)
    assert whole_lines(f"stop\n{text}\ncont") == ("stop", text, "cont")


@pytest.mark.parametrize(
    "line",
    ['{"a" 1', '{"a": tru', '{"a": "x', "{'a", "{]", '{"a": NaN', "info {", "qmp {", "# {", "", "plan {", "{" + '"a":[' * 9999],
)
def test_what_is_wrong_as_far_as_it_goes_does_not_go_on(line: str) -> None:
    assert not is_unfinished(line)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\n\nb", ("a", "", "b")),
        ('{"a": "x\ny"}', ('{"a": "x', 'y"}')),
        ('{"a" 1,\n"b": 2}', ('{"a" 1,', '"b": 2}')),
        ('{"a":\n1} {\n"b": 2}', ('{"a":\n1} {', '"b": 2}')),
        ('{"a":\n\n', ('{"a":\n\n',)),
        ("it's\n{'a':\n1}\nit's", ("it's", "{'a':\n1}", "it's")),
        ("qmp stop {\n}\nqmp a=1 {\n", ("qmp stop {\n}", "qmp a=1 {\n")),
    ],
)
def test_text_is_taken_apart_into_lines(text: str, lines: tuple[str, ...]) -> None:
    assert whole_lines(text) == lines


def test_long_paste_is_taken_apart_in_linear_time() -> None:
    """Each line is looked at once, and one object of many rows too."""
    rows = json.dumps({"a": list(range(100_000))}, indent=1)
    assert whole_lines(f"{rows}\nstop") == (rows, "stop")
    assert len(whole_lines("{}\n" * 20_000)) == 20_001


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("", ""),
        ("stop\ncon", "con"),
        ("stop\n", ""),
        ('{"execute": "stop",\n  "ar', '{"execute": "stop",\n  "ar'),
        ("stop\n{'execute': 'st", "{'execute': 'st"),
        ('{"execute": "stop"}\n', ""),
    ],
)
def test_last_line_has_all_rows_of_unfinished_json(text: str, last: str) -> None:
    assert last_line(text) == last
