"""The monitors of a command line, as QEMU 7.2, 10.0 and 11.1 make them."""

import pytest

from proxy.qemu_command_line.endpoints import Endpoint, Refused, Stdio, Uncovered, UnixSocket, Unreachable, Version
from proxy.qemu_command_line.monitors import Kind, Monitor, Origin, find_monitors
from proxy.qemu_command_line.setup import take_apart

FILES = {
    "mon": '[mon]\n  chardev = "c"',
    "qmp": '[mon "filed"]\n  chardev = "c"\n  mode = "control"\n  pretty = "on"',
    "both": '[chardev "f"]\n  backend = "socket"\n  path = "q"\n  server = "on"\n  wait = "off"\n[mon]\n  chardev = "f"',
    "null": '[chardev "f"]\n  backend = "null"\n[mon]\n  chardev = "f"',
    "object": '[chardev "f"]\n  backend = "null"\n[object "m"]\n  qom-type = "monitor-hmp"\n  chardev = "f"',
    "other": '[object "m"]\n  qom-type = "iothread"\n[name]\n  guest = "x"\n[chardev]\n  backend = "null"',
}
NULL = "-chardev null,id=c"
SHARED = Uncovered("is on a character device that others may share (mux)")


def monitors(words: str, version: Version = None) -> list[Monitor]:
    return find_monitors(take_apart(words.split(), FILES.get), version)


def told(words: str, version: Version = None) -> list[str]:
    return [f"{m.kind} {m.label}" for m in monitors(words, version)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # The default one.
        ("", ["hmp compat_monitor0"]),
        ("-display none", ["hmp compat_monitor0"]),
        ("-display curses", ["hmp compat_monitor0"]),
        ("-vnc :1", ["hmp compat_monitor0"]),
        ("-nographic", ["hmp serial0"]),
        ("-nographic -serial none", ["hmp compat_monitor0"]),
        ("-nographic -device isa-serial,chardev=c -chardev null,id=c", ["hmp compat_monitor0"]),
        ("-nodefaults", []),
        ("-nodefaults -nographic", []),
        ("-monitor none", []),
        ("-monitor nonesuch", []),
        ("-nographic -monitor none", []),
        ("-gdb tcp::1234", ["hmp compat_monitor0"]),
        ("-debugcon mon:null", ["hmp compat_monitor0", "hmp debugcon"]),
        ("-gdb mon:null", ["hmp compat_monitor0", "hmp gdb"]),
        # One counter for all three, in the order of the words.
        ("-qmp unix:q,server -monitor stdio", ["qmp compat_monitor0", "hmp compat_monitor1"]),
        ("-monitor none -qmp-pretty null --monitor vc", ["qmp-pretty compat_monitor0", "hmp compat_monitor1"]),
        ("-nographic -qmp null", ["qmp compat_monitor0"]),
        # Those on a device that there is.
        (f"-mon c {NULL}", ["hmp c"]),
        (f"{NULL} -mon chardev=c", ["hmp c"]),
        (f"-mon chardev=c,mode=control {NULL}", ["qmp c"]),
        (f"-mon c,mode=control,pretty=on,id=m {NULL}", ["qmp-pretty c"]),
        (f"-mon c,mode=readline {NULL}", ["hmp c"]),
        (f"-monitor chardev:c {NULL}", ["hmp c"]),
        (f"-qmp-pretty chardev:c {NULL}", ["qmp-pretty c"]),
        ("-mon nonesuch", ["hmp nonesuch"]),
        ("-mon mode=control", ["qmp "]),
        # Those beside a port.
        ("-serial mon:stdio", ["hmp serial0"]),
        ("-serial none -serial mon:null -serial null", ["hmp serial1"]),
        ("-parallel none -parallel mon:null", ["hmp parallel0"]),
        ("-serial chardev:c -serial mon:null -qmp null", ["qmp compat_monitor0", "hmp serial1"]),
        ("-serial null", ["hmp compat_monitor0"]),
        # A file takes nothing away.
        (f"-readconfig mon {NULL}", ["hmp c", "hmp compat_monitor0"]),
        (f"-nodefaults -readconfig qmp {NULL}", ["qmp-pretty c"]),
        ("-qmp null -readconfig null -monitor null", ["qmp compat_monitor0", "hmp f", "hmp compat_monitor1"]),
        ("-nodefaults -readconfig other", []),
        (f"-readconfig qmp -qmp null -readconfig mon {NULL}", ["qmp-pretty c", "qmp compat_monitor0", "hmp c"]),
        # Objects come first, and take the default one away.
        (f"-object monitor-hmp,id=m,chardev=c {NULL}", ["hmp c"]),
        (f"-qmp null -object monitor-qmp,id=m,chardev=c {NULL}", ["qmp c", "qmp compat_monitor0"]),
        (f'-object {{"qom-type":"monitor-qmp","id":"m","chardev":"c","pretty":true}} {NULL}', ["qmp-pretty c"]),
        ("-readconfig object", ["hmp f"]),
        ("-nodefaults -object iothread,id=i", []),
        ("-object iothread,id=i", ["hmp compat_monitor0"]),
    ],
)
def test_command_line_makes_monitors(words: str, expected: list[str]) -> None:
    assert told(words) == expected


def test_numbers_depend_on_the_version() -> None:
    words = f"-monitor chardev:c -qmp null {NULL}"
    assert told(words) == ["hmp c", "qmp compat_monitor1"]
    assert told(words, (11, 0)) == ["hmp c", "qmp compat_monitor1"]
    assert told(words, (11, 1)) == ["hmp c", "qmp compat_monitor0"]


def test_monitor_knows_where_it_stands() -> None:
    words = ["-qmp", "unix:q,server,nowait", "-chardev", "stdio,id=c", "-mon", "c,id=m"]
    legacy, modern = find_monitors(take_apart(words, FILES.get))
    assert (legacy.origin, legacy.id, legacy.definition) == (Origin.LEGACY, "compat_monitor0", None)
    assert legacy.option is not None
    assert words[legacy.option.at : legacy.option.end] == ["-qmp", "unix:q,server,nowait"]
    assert (modern.origin, modern.id) == (Origin.MON, "m")
    assert modern.definition is not None
    assert words[modern.definition.at : modern.definition.end] == ["-chardev", "stdio,id=c"]
    assert legacy.verdict == Endpoint(UnixSocket("q"), listens=True)
    assert [str(monitor) for monitor in (legacy, modern)] == [
        "the monitor of -qmp unix:q,server,nowait",
        "the monitor of -mon c,id=m",
    ]


def test_default_monitor_stands_nowhere() -> None:
    (monitor,) = monitors("-nographic -serial none")
    assert (monitor.kind, monitor.origin, monitor.option, monitor.id) == (Kind.HMP, Origin.DEFAULT, None, None)
    assert monitor.verdict == Endpoint(Stdio(signal=True))
    assert str(monitor) == "the default monitor compat_monitor0"


@pytest.mark.parametrize(
    ("words", "verdicts"),
    [
        ("", [Uncovered("is on a virtual console")]),
        ("-display none", [Unreachable()]),
        ("-nographic", [SHARED]),
        ("-serial mon:stdio", [SHARED]),
        ("-monitor mon:stdio", [SHARED]),
        ("-chardev stdio,id=c,mux=on -mon c -qmp chardev:c -serial chardev:c", [SHARED, SHARED]),
        ("-readconfig both -nodefaults", [Uncovered("is on a character device of a configuration file")]),
        ("-readconfig null -nodefaults", [Unreachable()]),
        ("-monitor stdio -serial null", [Endpoint(Stdio(signal=True))]),
        # "cannot use stdio by multiple character devices"
        ("-monitor stdio -serial stdio", [Refused()]),
        ("-monitor stdio -qmp stdio", [Refused(), Refused()]),
        ("-monitor stdio -chardev stdio,id=c", [Refused()]),
        ("-monitor stdio -nographic", [Refused()]),
        ("-monitor stdio -gdb stdio", [Refused()]),
        ("-monitor stdio -nographic -serial none", [Endpoint(Stdio(signal=True))]),
        ("-monitor stdio -daemonize", [Refused()]),
        ("-monitor null -daemonize", [Unreachable()]),
        # "Duplicate ID"
        ("-monitor stdio -chardev null,id=compat_monitor0", [Refused()]),
        (f"-qmp null -mon c,id=compat_monitor0 {NULL}", [Refused(), Refused()]),
        # A human-monitor-command does not run before there is a machine.
        ("-preconfig -monitor stdio", [Uncovered("is used while there is no machine yet (-preconfig)")]),
        ("--preconfig -qmp unix:q", [Endpoint(UnixSocket("q"))]),
        # The device is in use.
        ("-chardev socket,id=c,path=q -mon c -qmp chardev:c", [Refused(), Refused()]),
        # There is no such device.
        ("-mon c", [Refused()]),
        ("-qmp none", [Refused()]),
        ("-monitor tcp:0", [Refused()]),
    ],
)
def test_monitor_has_a_verdict(words: str, verdicts: list[object]) -> None:
    assert [monitor.verdict for monitor in monitors(words)] == verdicts
