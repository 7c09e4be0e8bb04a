"""proxy/qemu_command_line/ against a real QEMU: it makes the monitors that are foretold, and the same ones after the rewriting.

Each command line is started twice: as it is, where a client comes to each monitor in the way that the command line says, and
rewritten, where the client is at the other end of a socket pair. A monitor of the test's own looks at the character devices.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, assert_never

import pytest

from proxy.qemu_command_line.command_line import CommandLine, read
from proxy.qemu_command_line.endpoints import Descriptor, Endpoint, Stdio, TCPSocket, UnixSocket, verdict_on
from proxy.qemu_command_line.monitors import Monitor
from proxy.qemu_command_line.options import WITH_ARGUMENT, WITHOUT_ARGUMENT
from proxy.qemu_command_line.rewriting import configuration, rewrite
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import qemu_binary, reconnecting
from tests.integration.wrapping.monitor_lines import CONFIG_FILES, MACHINE, Places, random_words
from tests.integration.wrapping.wrapped_qemu import (
    Outcome,
    Reader,
    Started,
    accepted,
    bytes_of,
    connected,
    connected_to_port,
    outcome_of,
)

pytestmark = pytest.mark.versions

# 300 take some minutes.
LINES: Final = 40
# `-qmp chardev:ID` takes a number before.
REFUSED: Final = "QEMU refuses the command line"
# A device that is shared has another behind it, with "-base" in its label.
NUMBERED: Final = re.compile(r"compat_monitor\d+")
# What QEMU says only where it serves a monitor itself: of spellings in a `-chardev` that is replaced, and that it waits.
OF_ADDRESSES: Final = re.compile(
    r".*warning: short-form boolean option '\w+' deprecated\nPlease use .* instead\n"
    r"|.*info: QEMU waiting for connection on: .*\n"
)


class Scene:
    """What is around a QEMU: a folder, and sockets that it inherits or connects to."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        for name, text in CONFIG_FILES.items():
            (folder / name).write_text(text)
        self.listeners = {name: self._listen(name) for name in ("c0", "c1", "c10", "c11", "c12", "inherited")}
        self.listening = self.listeners["inherited"]
        self.ours, self.connected = self.pair()

    def _listen(self, name: str) -> socket.socket:
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.folder / name))
        listener.listen()
        return listener

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        return self._stack.enter_context(ours), self._stack.enter_context(theirs)

    def file(self, text: str) -> int:
        """Return a descriptor of a file with this text."""
        descriptor = os.memfd_create("configuration", 0)
        self._stack.callback(os.close, descriptor)
        os.write(descriptor, text.encode())
        return descriptor

    def text(self, path: str) -> str | None:
        return (self.folder / path).read_text() if (self.folder / path).exists() else None


@pytest.fixture
def scene() -> Iterator[Scene]:
    # A unix socket's path has few bytes, so not pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        yield Scene(folder, stack)


def native(scene: Scene, line: CommandLine) -> Outcome:
    """Start QEMU with a command line as it is, but for a monitor of ours, and go to each monitor that could be served."""
    ours, theirs = scene.pair()
    file = scene.file(configuration(replace(line, untouched="for comparison"), theirs.fileno()))
    inherited = [file, *(end.fileno() for end in (theirs, scene.listening, scene.connected))]
    with Started([qemu_binary(), "-readconfig", f"/dev/fd/{file}", *line.words], scene.folder, inherited) as qemu:
        theirs.close()
        early = {label: here(scene, qemu, endpoint, "") for label, endpoint in waiting(line).items()}

        def readers(filenames: dict[str, str]) -> Mapping[str, Reader]:
            found = {
                monitor.label: early.get(monitor.label) or here(scene, qemu, monitor.verdict, filenames[monitor.label])
                for monitor in line.monitors
                if isinstance(monitor.verdict, Endpoint)
            }
            return {label: reader for label, reader in found.items() if reader is not None}

        return outcome_of(qemu, ours, readers)


def waiting(line: CommandLine) -> dict[str, Endpoint]:
    """Return where QEMU waits for a client, in its order, also if it then refuses a monitor."""

    def place_of_device(monitor: Monitor) -> int:
        option = monitor.definition or monitor.option
        return 0 if option is None else option.at

    devices = {monitor.label: monitor.chardev for monitor in sorted(line.monitors, key=place_of_device)}
    verdicts = {label: verdict_on(device, has_display=False) for label, device in devices.items() if device is not None}
    return {label: verdict for label, verdict in verdicts.items() if isinstance(verdict, Endpoint) and verdict.waits}


def here(scene: Scene, qemu: Started, endpoint: Endpoint, filename: str) -> Reader | None:
    """Come to where a command line has a monitor; None if QEMU ends before."""
    client: socket.socket | None
    match endpoint.address:
        case UnixSocket(path) if endpoint.listens:
            client = connected(qemu, str(scene.folder / path))
        case UnixSocket(path):
            client = accepted(qemu, scene.listeners[Path(path).name])
        case TCPSocket():
            client = connected_to_port(qemu, filename)
        case Descriptor() if endpoint.listens:
            client = connected(qemu, str(scene.folder / "inherited"))
        case Descriptor():
            client = scene.ours
        case Stdio():
            assert qemu.process.stdout is not None
            return bytes_of(qemu.process.stdout.fileno())
        case _:
            assert_never(endpoint.address)
    return None if client is None else bytes_of(client.fileno())


def rewritten(scene: Scene, line: CommandLine) -> Outcome:
    """Start QEMU with each served monitor on a socket pair."""
    ours, theirs = scene.pair()
    pairs = {monitor.label: scene.pair() for monitor in line.served}
    file = scene.file(configuration(line, theirs.fileno()))
    words = rewrite(line, f"/dev/fd/{file}", lambda monitor: pairs[monitor.label][1].fileno())
    inherited = [file, *(end.fileno() for end in (theirs, scene.listening, scene.connected))]
    inherited += [end.fileno() for _, end in pairs.values()]
    with Started([qemu_binary(), *words], scene.folder, inherited) as qemu:
        for _, end in [*pairs.values(), (ours, theirs)]:
            end.close()
        return outcome_of(qemu, ours, lambda _: {label: bytes_of(end.fileno()) for label, (end, _) in pairs.items()})


def labels(outcome: Outcome) -> list[str]:
    """Return the labels of the devices; that of a gdb stub's own monitor has a number at random."""
    return sorted(re.sub(r"^#chr\d+", "#chr", label) for label in outcome.filenames)


def said(outcome: Outcome) -> tuple[int | None, str]:
    return outcome.status, OF_ADDRESSES.sub("", outcome.stderr)


def check(scene: Scene, words: list[str], version: QEMUVersion) -> CommandLine:
    """Start QEMU in both ways and compare; return what was read."""
    line = read(words, scene.text, (version.major, version.minor))
    before = native(scene, line)
    if line.untouched == REFUSED:
        assert before.status not in (None, 0)
        return line
    if before.status is None:
        assert set(filter(NUMBERED.fullmatch, before.filenames)) == {
            m.label for m in line.monitors if NUMBERED.fullmatch(m.label)
        }
        assert before.kinds == {m.label: m.kind for m in line.monitors if isinstance(m.verdict, Endpoint)}
    if line.untouched is None:
        after = rewritten(scene, line)
        assert said(after) == said(before)
        assert labels(after) == labels(before)
        assert after.kinds == before.kinds
    return line


@pytest.mark.parametrize("seed", range(LINES))
def test_monitors_are_the_same_after_rewriting(scene: Scene, seed: int, qemu_version: QEMUVersion) -> None:
    places = Places(scene.folder, scene.listening.fileno(), scene.connected.fileno())
    check(scene, random_words(random.Random(seed), places, reconnecting(qemu_version)), qemu_version)


@pytest.mark.parametrize(
    ("words", "served"),
    [
        # QEMU 11.1 numbers these monitors only after those of -qmp, and ends if a number is not free.
        ("-qmp unix:m,server,nowait -gdb tcp:127.0.0.1:0", 1),
        ("-qmp unix:m,server,nowait -serial mon:null", 1),
        ("-qmp unix:m,server,nowait -mon c -chardev null,id=c", 1),
        ("-readconfig both.cfg -qmp unix:m,server,nowait", 1),
        ("-monitor null -qmp unix:m,server,nowait -monitor vc -qmp null", 1),
        ("-chardev null,id=c -qmp chardev:c -qmp unix:m,server,nowait -monitor null", 1),
        ("-qmp unix:m,server,nowait -chardev null,id=compat_monitor0", 0),
        # The default monitor.
        ("-nographic -serial none", 1),
        ("-nographic -device isa-serial,chardev=c -chardev null,id=c", 1),
        ("-nographic", 0),
        ("-vnc 127.0.0.1:0,to=99", 0),
        # What libvirt, multipass and Proxmox say.
        ("-chardev socket,id=charmonitor,path=m,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control", 1),
        ("-nographic -qmp stdio -chardev null,id=c -serial chardev:c", 1),
        ("-chardev socket,id=q,path=m,server,nowait -mon chardev=q,mode=control -chardev socket,id=e,path=c0 -mon e", 2),
    ],
)
def test_known_command_lines_are_served(scene: Scene, words: str, served: int, qemu_version: QEMUVersion) -> None:
    assert len(check(scene, [*MACHINE.split(), *words.split()], qemu_version).served) == served


def test_help_names_known_options() -> None:
    """Some options are not in it; the tables have them all the same."""
    told = subprocess.run([qemu_binary(), "-help"], check=True, capture_output=True, text=True).stdout
    names = set(re.findall(r"(?m)^--?([a-zA-Z][\w-]*)(?=[ \n])", told))
    assert len(names) > 100
    assert names - WITH_ARGUMENT - WITHOUT_ARGUMENT == set()


def unknown_option(words: list[str]) -> str:
    """Return the first word that QEMU does not know as an option. It walks all words before it does anything."""
    said = subprocess.run([qemu_binary(), *words], capture_output=True, text=True, check=False).stderr
    found = re.search(r": -(\S+): invalid option", said)
    assert found is not None, said
    return found[1]


@pytest.mark.parametrize("arguments", [[], ["-argument"]], ids=["without", "with"])
def test_options_take_arguments_as_in_the_tables(arguments: list[str]) -> None:
    """`-argument` is no option: it is complained about where it is not an argument."""
    names = set(WITH_ARGUMENT if arguments else WITHOUT_ARGUMENT)
    while (
        unknown := unknown_option([*(word for name in sorted(names) for word in (f"-{name}", *arguments)), "-last"])
    ) != "last":
        names.remove(unknown)
    assert len(names) > 20
