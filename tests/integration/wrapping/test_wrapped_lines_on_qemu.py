"""`hmp-proxy wrap` against QEMU alone: random command lines are started in both ways, and nobody can tell which was which.

Whoever comes to a monitor finds it where the command line says, and is answered with the same bytes. QEMU's own words differ in
its monitors only; a wrong command line ends with the same status and the same text.
"""

import os
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from proxy.qemu_command_line import opts
from proxy.qemu_command_line.command_line import CommandLine
from proxy.qemu_command_line.endpoints import ADDRESS_KEYS
from proxy.qemu_command_line.options import Option, walk
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import qemu_binary, reconnecting
from tests.integration.wrapping.monitor_lines import MACHINE, Places, random_start
from tests.integration.wrapping.monitor_visits import Visit, read_in, visit, visited_in
from tests.support.checkout import ROOT

pytestmark = pytest.mark.versions

# 500 take about ten minutes.
LINES: Final = 20
# `-qmp chardev:ID` takes a number before.
WRAP: Final = (sys.executable, "-W", "error", "-m", "proxy", "wrap", "--")
# Without asyncio's debug mode, which may have something to say of a busy machine.
ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONASYNCIODEBUG": ""}
NOTICE: Final = re.compile(r"hmp-proxy: not covered by the proxy: .*\n")
# QEMU's advice about how the address in a `-chardev` is spelled, which it does not get to see.
ADVICE: Final = re.compile(r".*warning: short-form boolean option '\w+' deprecated\nPlease use .* instead\n")
WAITING: Final = re.compile(r".*info: QEMU waiting for connection on: .*\n")
# Nobody is where a monitor is to be connected, and it is tried again. QEMU may have ended before it says so.
TRYING: Final = re.compile(r".*: Unable to connect character device .*\n|hmp-proxy: cannot connect to .*\n")
# A terminal's number, which is another each time.
TERMINAL: Final = re.compile(r"/dev/pts/\d+")
LEGACY: Final = ("monitor", "qmp", "qmp-pretty")


def told(visited: Visit) -> tuple[object, ...]:
    """Return what whoever started QEMU sees.

    The wrapper waits before it starts QEMU, so it says so earlier, and also where QEMU ends before that. A monitor at standard
    output may have begun to speak when QEMU ends by itself.
    """
    stderr = TRYING.sub("", ADVICE.sub("", NOTICE.sub("", visited.stderr, count=1)))
    errors = WAITING.sub("", stderr)
    if not visited.said:
        return visited.status, errors
    return visited.status, errors, WAITING.findall(stderr), TERMINAL.sub("", visited.stdout)


def assert_left(after: Visit, before: Visit) -> None:
    """The wrapper removes its sockets also where QEMU leaves them."""
    assert after.files.items() <= before.files.items()
    assert all(before.files[name] for name in before.files.keys() - after.files.keys())


def device(option: Option) -> tuple[str | None, Mapping[str, str]]:
    """Return a `-chardev` without what says where its clients are."""
    found = opts.parse(option.argument or "", "backend")
    return found.id, {key: value for key, value in found.values().items() if key not in {*ADDRESS_KEYS, "backend"}}


def assert_only_monitors_differ(after: Sequence[str], before: Sequence[str]) -> None:
    if after == before:
        return
    # QEMU may have been started by a script, which has words of its own in front.
    first = min(before.index(word) for word in (MACHINE.split()[0], "-readconfig") if word in before)
    assert after[:first] == before[:first]
    options, originals = list(walk(after[first:])), list(walk(before[first:]))
    front = options[: len(options) - len(originals)]
    assert front[0].name == "readconfig"
    assert {option.name for option in front[1:]} <= {"monitor", "chardev"}
    for option, original in zip(options[len(front) :], originals, strict=True):
        if original.name == "chardev":
            assert option.name == "chardev"
            assert device(option) == device(original)
        elif original.name in LEGACY and option.name == "chardev":
            assert re.search(r"id=compat_monitor\d+\b", option.argument or "")
        else:
            assert (option.name, option.argument) == (original.name, original.argument)


def check(before: Visit, after: Visit) -> None:
    assert told(after) == told(before)
    assert after.said == before.said
    # QEMU may be gone before it has written the rest, over TCP above all.
    assert all(after.last[label].startswith(rest) for label, rest in before.last.items())
    assert after.modes == before.modes
    assert_left(after, before)
    if before.command:
        assert_only_monitors_differ(after.command, before.command)


def wrapped(words: Sequence[str], line: CommandLine, places: Places) -> Visit:
    return visit([*WRAP, qemu_binary()], words, line, places, ENVIRONMENT)


def compare(words_at: Callable[[Places], Sequence[str]], version: QEMUVersion) -> Visit:
    """Start QEMU in both ways and compare; return what was seen of QEMU alone. The words may name the places."""
    with visited_in() as places:
        words = words_at(places)
        line = read_in(words, (version.major, version.minor))
        before = visit([qemu_binary()], words, line, places, os.environ)
        check(before, wrapped(words, line, places))
        return before


@pytest.mark.parametrize("seed", range(LINES))
def test_wrapped_qemu_is_like_qemu(seed: int, qemu_version: QEMUVersion) -> None:
    compare(lambda places: random_start(random.Random(seed), places, reconnecting(qemu_version)), qemu_version)


@pytest.mark.parametrize(
    "words",
    [
        # In the background QEMU has a umask of its own.
        "-qmp unix:m,server,nowait -monitor unix:m0,server,nowait -daemonize -pidfile pid",
        # QEMU runs with a socket that is not what it needs, so whoever comes elsewhere must find it, and nobody else before.
        "-qmp unix:m,server,nowait -chardev socket,id=dead,fd={listening} -mon dead",
        "-qmp unix:m,server -chardev socket,id=c,path=m0,server=on -mon c",
    ],
)
def test_known_command_lines_are_like_qemu(words: str, qemu_version: QEMUVersion) -> None:
    seen = compare(lambda places: [*MACHINE.split(), *places.filled(words, 0, "").split()], qemu_version)
    assert seen.said


@pytest.mark.parametrize(
    ("words", "taken"), [("reconnect=1", lambda v: v < (11, 1)), ("reconnect-ms=1000", lambda v: v >= (9, 2))]
)
def test_option_of_other_versions_is_refused_as_qemu_does(
    words: str, taken: Callable[[QEMUVersion], bool], qemu_version: QEMUVersion
) -> None:
    seen = compare(lambda _: f"{MACHINE} -chardev socket,id=c,path=c0,{words} -mon c,mode=control".split(), qemu_version)
    assert bool(seen.said) == taken(qemu_version)
    assert ("Invalid parameter" in seen.stderr) != taken(qemu_version)


def test_nobody_to_connect_to_is_told(qemu_version: QEMUVersion) -> None:
    words = f"{MACHINE} -monitor unix:n,{reconnecting(qemu_version)} -qmp unix:m,server,nowait".split()
    with visited_in() as places:
        seen = wrapped(words, read_in(words), places)
    assert seen.stderr == "hmp-proxy: cannot connect to unix:n; trying again: No such file or directory\n"
