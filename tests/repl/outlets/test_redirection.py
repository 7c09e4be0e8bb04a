"""Where a line's output goes, and which lines are QEMU's. tests/integration/prompt/test_outlets_on_qemu.py asks real QEMUs."""

import random

import pytest

from repl.lines.scanning import LineError
from repl.outlets.redirection import Outlet, ToFile, ToShell, split_outlet, unfinished_file


def into(path: str) -> ToFile:
    return ToFile(path, appends=False)


@pytest.mark.parametrize(
    ("line", "command", "outlet"),
    [
        ("info mtree | grep pci", "info mtree", ToShell("grep pci")),
        ("  info mtree  |  grep pci  ", "  info mtree", ToShell("grep pci")),
        ("info mtree\t|\tgrep pci", "info mtree", ToShell("grep pci")),
        ("info mtree|grep pci", "info mtree", ToShell("grep pci")),
        ("info mtree |grep pci", "info mtree", ToShell("grep pci")),
        ("info mtree | grep pci | sort > /tmp/x", "info mtree", ToShell("grep pci | sort > /tmp/x")),
        ("info mtree | grep \"a|b\" 'c'", "info mtree", ToShell("grep \"a|b\" 'c'")),
        ("info mtree | $PAGER", "info mtree", ToShell("$PAGER")),
        ("info mtree | ~/bin/tree", "info mtree", ToShell("~/bin/tree")),
        ("info | less", "info", ToShell("less")),
        ("info|less", "info", ToShell("less")),
        *((f"{name}{gap}|{gap}less", name, ToShell("less")) for name in ("help", "?", r"\?", ".help") for gap in ("", " ")),
        ("help qmp | less", "help qmp", ToShell("less")),
        ("info mtree > /tmp/x", "info mtree", into("/tmp/x")),
        ("info mtree >/tmp/x", "info mtree", into("/tmp/x")),
        ("info mtree>x", "info mtree", into("x")),
        ("info mtree >> x", "info mtree", ToFile("x", appends=True)),
        ("info mtree > ~/x", "info mtree", into("~/x")),
        ('info mtree > "two words"', "info mtree", into("two words")),
        ("info mtree > 'two words'", "info mtree", into("two words")),
        (r'info mtree > "a\"b\\c"', "info mtree", into(r'a"b\c')),
        ("info mtree > '~/x'", "info mtree", into("./~/x")),
        ('info mtree > "~x"', "info mtree", into("./~x")),
        ("info mtree > a'b|c", "info mtree", into("a'b|c")),
        ('info block "a|b" | cat', 'info block "a|b"', ToShell("cat")),
        (r'info block "a\"|b" | cat', r'info block "a\"|b"', ToShell("cat")),
        ("qom-list /machine | sort", "qom-list /machine", ToShell("sort")),
        ('qom-get "/a | b" type > x', 'qom-get "/a | b" type', into("x")),
        ('qemu-io d0 "read 0 512 | x" | cat', 'qemu-io d0 "read 0 512 | x"', ToShell("cat")),
        ("ringbuf_read c 100 > log", "ringbuf_read c 100", into("log")),
        ("plan savevm t | cat", "plan savevm t", ToShell("cat")),
        ("qmp query-block | jq .", "qmp query-block", ToShell("jq .")),
        ('qmp a {"x": "b | c"} | jq .', 'qmp a {"x": "b | c"}', ToShell("jq .")),
        ('qmp a {"x":["b > c"]} > f', 'qmp a {"x":["b > c"]}', into("f")),
        ('qmp a x="b | c" y=d|e | jq .', 'qmp a x="b | c" y=d|e', ToShell("jq .")),
        ('qmp a x=b"c | jq .', 'qmp a x=b"c', ToShell("jq .")),
        ("device_add help | grep virtio", "device_add help", ToShell("grep virtio")),
        ("device_add virtio-blk-pci,help | cat", "device_add virtio-blk-pci,help", ToShell("cat")),
        ("object_add ? > x", "object_add ?", into("x")),
        ("log help | cat", "log help", ToShell("cat")),
    ],
)
def test_output_goes_elsewhere(line: str, command: str, outlet: Outlet) -> None:
    assert split_outlet(line) == (command, outlet)


@pytest.mark.parametrize("name", ["p", "print", "x", "xp", "x/4xw", "i", "sum 0", "gva2gpa", "gpa2hva", "gpa2hpa"])
@pytest.mark.parametrize("gap", ["", " "])
def test_or_of_an_expression_stays_qemus_and_a_pipe_can_follow_it(name: str, gap: str) -> None:
    """An operand begins with one of these (monitor/hmp.c, expr_unary); nothing else can go on an expression."""
    for operand in ("2", "0x10", "$pc", "(1)", "'a'", "+1", "-1", "~1"):
        line = f"{name} 1{gap}|{gap}{operand}"
        assert split_outlet(line) == (line, None)
        assert split_outlet(f"{line}{gap}|{gap}wc -c") == (line, ToShell("wc -c"))
        assert split_outlet(f"{line}{gap}>{gap}2") == (line, into("2"))


@pytest.mark.parametrize("line", ["p '|'", "p '>'", "p '\"'", "print 'x' | '|'"])
def test_character_constant_is_no_operator(line: str) -> None:
    assert split_outlet(line) == (line, None)
    assert split_outlet(f"{line} | cat") == (line, ToShell("cat"))


@pytest.mark.parametrize("topic", ["lapic", "registers", "trace-events x", "sync-profile", "virtio-queue-status /x"])
def test_topic_that_takes_a_number_takes_an_expression(topic: str) -> None:
    assert split_outlet(f"info {topic} 1 | 2") == (f"info {topic} 1 | 2", None)
    assert split_outlet(f"info {topic}|less") == (f"info {topic}", ToShell("less"))
    assert split_outlet("info mtree | 7z a -si x") == ("info mtree", ToShell("7z a -si x"))


@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "|", "| less", "> x", "# info mtree | less", "/ | x"),
        *("savevm |", "savevm > x", "savevm a|b", "loadvm >", "delvm | x", 'savevm "a | b"'),
        *('migrate "exec:gzip > /x"', "migrate exec:gzip>/x", "migrate -d exec:cat > x", "migrate help | x"),
        *("set_password vnc > keep", "change vnc password >x", "hostfwd_add tcp::1-:2 | x", "drive_add 0 file=a|b"),
        *("object_add secret,id=s,data=a | b", "object_add secret,id=s,data=help | b", "device_add x | y", "log a,b > x"),
        *("device_add help|less", "chardev-add file,path=a|b", "netdev_add user | x", "qom-set /x y a > b"),
        *("stop | x", "quit > x", "exit | x", "events | x", "pager less | x", "connect > x", "screendump > x"),
        *("qom-get /a|b c", "qom-get / a >b", "qom-list |x", 'qemu-io d "read | x"', "qemu-io d read|x"),
        *("qom-list |", "qom-get / >", "plan savevm |", "plan savevm a>b", "qmp a |", "qmp a x=b|c", "qmp a x=|"),
        *("qmp|x", "info a || b", "info a >>> b", "info a >| b", "info a |> b", 'info block "a | b', 'qmp a {"x | y'),
    ],
)
def test_line_is_qemus_as_it_is(line: str) -> None:
    assert split_outlet(line) == (line, None)


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("info mtree |", 12, "'|' needs a shell command after it"),
        ("info mtree | ", 13, "'|' needs a shell command after it"),
        ("p 1 |", 5, "'|' needs a shell command after it"),
        ("help >", 6, "'>' needs a file after it"),
        ("info mtree>>", 12, "'>>' needs a file after it"),
        ("info mtree > a b", 13, "'>' needs one file name after it; one with blanks needs quotes"),
        ("info mtree > a | b", 13, "'>' needs one file name after it; one with blanks needs quotes"),
        ("info mtree 2>&1", 13, "'>' needs one file name after it; one with blanks needs quotes"),
        ('info mtree >> "a', 14, "'>>' needs one file name after it; one with blanks needs quotes"),
        ("info mtree > ''", 13, "'>' needs one file name after it; one with blanks needs quotes"),
        ("qmp a > b c", 8, "'>' needs one file name after it; one with blanks needs quotes"),
    ],
)
def test_fault_is_shown_in_its_place(line: str, position: int, message: str) -> None:
    with pytest.raises(LineError) as raised:
        split_outlet(line)
    assert (raised.value.position, raised.value.message) == (position, message)


@pytest.mark.parametrize("seed", range(20))
def test_any_line_is_split_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    parts = ("info", "p", "qmp", "plan", "help", "x", " ", " ", "|", ">", ">>", '"', "'", "\\", "{", "1", "$", "\n", "\0", "é")
    for _ in range(500):
        line = "".join(rng.choices(parts, k=rng.randrange(12)))
        try:
            command, outlet = split_outlet(line)
        except LineError:
            continue
        assert line.startswith(command)
        assert (command == line) == (outlet is None)


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("info mtree >", ("", "")),
        ("info mtree > ", ("", "")),
        ("info mtree >> a/b", ("a/b", "")),
        ("info mtree>~/x", ("~/x", "")),
        ('info mtree > "', ("", '"')),
        ('info mtree > "a b', ("a b", '"')),
        ("info mtree", None),
        ("info mtree | x", None),
        ("info mtree > 'a", None),
        ("info mtree > a ", None),
        ('info mtree > "a\\"', None),
        ("savevm > x", None),
    ],
)
def test_file_that_is_being_typed(line: str, typed: tuple[str, str] | None) -> None:
    assert unfinished_file(line) == typed
