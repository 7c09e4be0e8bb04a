"""The command line with which QEMU is started instead."""

import random

import pytest

from proxy.qemu_command_line.command_line import CommandLine, read
from proxy.qemu_command_line.monitors import Monitor
from proxy.qemu_command_line.rewriting import CONTROL_ID, configuration, rewrite

CONTROL = f"""\
[chardev "{CONTROL_ID}"]
  backend = "socket"
  fd = "9"
[mon "{CONTROL_ID}"]
  chardev = "{CONTROL_ID}"
  mode = "control"
"""
FRONT = "-readconfig /dev/fd/8"


def line_of(words: str) -> CommandLine:
    return read(words.split(), {"mon": '[mon]\n  chardev = "c"'}.get)


def rewritten(line: CommandLine) -> str:
    """Rewrite it with the descriptors 20, 21, … for the served monitors in their order; each is asked for once."""
    numbers = {monitor.label: number for number, monitor in enumerate(line.served, 20)}

    def descriptor(monitor: Monitor) -> int:
        return numbers.pop(monitor.label)

    words = rewrite(line, "/dev/fd/8", descriptor)
    assert numbers == {}
    return " ".join(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Only the address changes.
        (
            "-S -chardev socket,id=charmonitor,fd=25,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control a.img",
            "-S -chardev socket,fd=20,id=charmonitor -mon chardev=charmonitor,id=monitor,mode=control a.img",
        ),
        (
            "-mon c -chardev path=a,,b,logappend=on,backend=socket,id=c,server,nowait,mux=off",
            "-mon c -chardev socket,fd=20,logappend=on,id=c,mux=off",
        ),
        ("-chardev stdio,id=c,signal=off -monitor chardev:c", "-chardev socket,fd=20,id=c -monitor chardev:c"),
        (
            "-chardev socket,id=a,path=a,server=on,wait=off -chardev socket,id=b,path=b -mon b -mon a",
            "-chardev socket,fd=21,id=a -chardev socket,fd=20,id=b -mon b -mon a",
        ),
        (
            "-object monitor-qmp,id=m,chardev=c -chardev socket,id=c,path=q",
            "-object monitor-qmp,id=m,chardev=c -chardev socket,fd=20,id=c",
        ),
        ("-readconfig mon -chardev socket,id=c,path=q -nodefaults", "-readconfig mon -chardev socket,fd=20,id=c -nodefaults"),
        # Nothing of the others does.
        (
            "-chardev socket,id=c,path=q -mon c -monitor pty -serial mon:stdio -chardev socket,id=d,path=r",
            "-chardev socket,fd=20,id=c -mon c -monitor pty -serial mon:stdio -chardev socket,id=d,path=r",
        ),
    ],
)
def test_address_of_a_device_is_replaced(words: str, expected: str) -> None:
    line = line_of(words)
    assert rewritten(line) == f"{FRONT} {expected}"
    assert configuration(line, 9) == CONTROL


@pytest.mark.parametrize(
    ("words", "expected", "kinds"),
    [
        ("-m 32 -qmp unix:q,server,nowait disk.img", "-m 32 -chardev socket,id=compat_monitor0,fd=20 disk.img", ["control"]),
        (
            "--monitor telnet::0,server,logappend=on -S -qmp-pretty stdio",
            "-chardev socket,id=compat_monitor0,fd=20,logappend=on -S -chardev socket,id=compat_monitor1,fd=21",
            ["readline", "pretty"],
        ),
        # Those that nobody serves share the numbers.
        (
            "-monitor null -qmp unix:q,server,nowait -monitor mon:vc:80Cx24C -qmp file:a,b",
            "-chardev null,id=compat_monitor0 -chardev socket,id=compat_monitor1,fd=20"
            " -chardev vc,id=compat_monitor2,mux=on,cols=80,rows=24 -chardev file,id=compat_monitor3,path=a,,b",
            ["readline", "control", "readline", "control"],
        ),
        ("-monitor none -qmp stdio", "-monitor none -chardev socket,id=compat_monitor0,fd=20", ["control"]),
        # The default one stands nowhere.
        ("-nographic -serial none", "-chardev socket,id=compat_monitor0,fd=20 -nographic -serial none", ["readline"]),
        (
            "-qmp stdio -mon c -chardev socket,id=c,path=q",
            "-chardev socket,id=compat_monitor0,fd=20 -mon c -chardev socket,fd=21,id=c",
            ["control"],
        ),
    ],
)
def test_monitor_of_an_option_is_made_in_the_file(words: str, expected: str, kinds: list[str]) -> None:
    line = line_of(words)
    assert rewritten(line) == f"{FRONT} -monitor none {expected}"
    lines = {
        "readline": '  mode = "readline"\n',
        "control": '  mode = "control"\n',
        "pretty": '  mode = "control"\n  pretty = "on"\n',
    }
    groups = [f'[mon]\n  chardev = "compat_monitor{number}"\n{lines[kind]}' for number, kind in enumerate(kinds)]
    assert configuration(line, 9) == CONTROL + "".join(groups)


def test_untouched_command_line_has_only_the_monitor_of_ours() -> None:
    line = line_of("-qmp unix:q,server,nowait -M none")
    assert rewritten(line) == f"{FRONT} -qmp unix:q,server,nowait -M none"
    assert configuration(line, 9) == CONTROL


FRAGMENTS = (
    *(
        "-qmp",
        "-monitor",
        "-chardev",
        "-mon",
        "-object",
        "-serial",
        "-readconfig",
        "-device",
        "-set",
        "-",
        "--",
        "disk.img",
        "-nographic",
    ),
    *(
        "unix:",
        "tcp::0",
        "socket",
        "stdio",
        "vc:",
        "mon:",
        "null",
        ",",
        "=",
        ",,",
        "id=c",
        "path=q",
        "server",
        "fd=5",
        "chardev:c",
        "c",
    ),
    *(
        "{",
        '{"qom-type":"monitor-qmp","id":"m","chardev":"c"}',
        "monitor-hmp",
        "chardev=c",
        "mux=on",
        "mode=control",
        "\udcff",
        "\0",
        "",
    ),
)


@pytest.mark.parametrize("seed", range(200))
def test_any_words_can_be_read(seed: int) -> None:
    """What they come to does not matter; that nothing else is lost or added does."""
    chance = random.Random(seed)
    words = ["".join(chance.choices(FRAGMENTS, k=chance.choice((1, 1, 2, 3, 5)))) for _ in range(chance.randint(0, 12))]
    line = read(words, {"c": "[mon]\n chardev=c", "": "["}.get)
    found = rewrite(line, "/dev/fd/8", lambda _: 20)
    assert configuration(line, 9).startswith(CONTROL)
    assert len(found) - len(words) in (2, 4, 6)
    if line.untouched is not None:
        assert found == [*FRONT.split(), *words]
