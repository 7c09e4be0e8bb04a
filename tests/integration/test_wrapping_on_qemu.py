"""proxy/wrapping/ against a real QEMU: it makes the monitors that are foretold, and the same ones after the rewriting.

Each command line is started twice: as it is, where a client comes to each monitor in the way that the command line says, and
rewritten, where the client is at the other end of a socket pair. A monitor of the test's own looks at the character devices.
"""

import os
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, assert_never

import pytest

from proxy.wrapping.command_line import CommandLine, read
from proxy.wrapping.endpoints import Descriptor, Endpoint, Stdio, TCPSocket, UnixSocket
from proxy.wrapping.monitors import Monitor
from proxy.wrapping.rewriting import configuration, rewrite
from shim.qmp import QEMUVersion
from tests.integration.monitor_lines import CONFIG_FILES, Descriptors, random_words
from tests.integration.qemu_vm import reconnecting
from tests.integration.wrapped_qemu import (
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
LINES: Final = int(os.environ.get("WL", "60"))
# `-qmp chardev:ID` takes a number before.
NUMBERS_APART: Final = (11, 1)
REFUSED: Final = "QEMU refuses the command line"
# A device that is shared has another behind it, with "-base" in its label.
NUMBERED: Final = re.compile(r"compat_monitor\d+")
# What QEMU says only where it serves a monitor itself: of spellings in a `-chardev` that is replaced, and while it waits.
OF_ADDRESSES: Final = re.compile(
    r".*warning: short-form boolean option '\w+' deprecated\nPlease use .* instead\n|.*info: QEMU waiting for connection on: .*\n"
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
        file = self._stack.enter_context(open(os.memfd_create("configuration", 0), "w"))
        file.write(text)
        file.flush()
        return file.fileno()

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
    monitors = [monitor for monitor in line.monitors if isinstance(monitor.verdict, Endpoint)]
    ours, theirs = scene.pair()
    file = scene.file(configuration(replace(line, untouched="for comparison"), theirs.fileno()))
    inherited = [file, *(end.fileno() for end in (theirs, scene.listening, scene.connected))]
    with Started(["-readconfig", f"/dev/fd/{file}", *line.words], scene.folder, ours, inherited) as qemu:
        theirs.close()
        waiting = [monitor for monitor in monitors if isinstance(monitor.verdict, Endpoint) and monitor.verdict.waits]
        readers = {monitor.label: here(scene, qemu, monitor, "") for monitor in sorted(waiting, key=place_of_device)}

        def others(filenames: dict[str, str]) -> Mapping[str, Reader]:
            rest = [monitor for monitor in monitors if monitor.label not in readers]
            found = readers | {monitor.label: here(scene, qemu, monitor, filenames[monitor.label]) for monitor in rest}
            return {label: reader for label, reader in found.items() if reader is not None}

        return outcome_of(qemu, others)


def place_of_device(monitor: Monitor) -> int:
    option = monitor.definition or monitor.option
    return 0 if option is None else option.at


def here(scene: Scene, qemu: Started, monitor: Monitor, filename: str) -> Reader | None:
    """Come to a monitor where its command line says; None if QEMU ends before."""
    assert isinstance(monitor.verdict, Endpoint)
    match monitor.verdict.address:
        case UnixSocket(path) if monitor.verdict.listens:
            return connected(qemu, scene.folder / path)
        case UnixSocket(path):
            return accepted(qemu, scene.listeners[path])
        case TCPSocket():
            return connected_to_port(qemu, filename)
        case Descriptor() if monitor.verdict.listens:
            return connected(qemu, scene.folder / "inherited")
        case Descriptor():
            return bytes_of(scene.ours.fileno())
        case Stdio():
            assert qemu.process.stdout is not None
            return bytes_of(qemu.process.stdout.fileno())
    assert_never(monitor.verdict.address)


def rewritten(scene: Scene, line: CommandLine) -> Outcome:
    """Start QEMU with each served monitor on a socket pair."""
    ours, theirs = scene.pair()
    pairs = {monitor.label: scene.pair() for monitor in line.served}
    file = scene.file(configuration(line, theirs.fileno()))
    words = rewrite(line, f"/dev/fd/{file}", lambda monitor: pairs[monitor.label][1].fileno())
    inherited = [file, *(end.fileno() for end in (theirs, scene.listening, scene.connected))]
    inherited += [end.fileno() for _, end in pairs.values()]
    with Started(words, scene.folder, ours, inherited) as qemu:
        for _, end in [*pairs.values(), (ours, theirs)]:
            end.close()
        return outcome_of(qemu, lambda _: {label: bytes_of(end.fileno()) for label, (end, _) in pairs.items()})


def labels(outcome: Outcome) -> list[str]:
    """Return the labels of the devices; that of a gdb stub's own monitor has a number at random."""
    return sorted(re.sub(r"^#chr\d+", "#chr", label) for label in outcome.filenames)


def said(outcome: Outcome) -> tuple[int | None, str]:
    return outcome.status, OF_ADDRESSES.sub("", outcome.stderr)


@pytest.mark.parametrize("seed", range(LINES))
def test_monitors_are_the_same_after_rewriting(scene: Scene, seed: int, qemu_version: QEMUVersion) -> None:
    descriptors = Descriptors(scene.listening.fileno(), scene.connected.fileno())
    words = random_words(random.Random(seed), descriptors, reconnecting(qemu_version))
    line = read(words, scene.text, chardev_takes_number=qemu_version < NUMBERS_APART)
    before = native(scene, line)
    if line.untouched == REFUSED:
        assert before.status not in (None, 0)
        return
    if before.status is None:
        assert set(filter(NUMBERED.fullmatch, before.filenames)) == {
            m.label for m in line.monitors if NUMBERED.fullmatch(m.label)
        }
        assert before.kinds == {m.label: m.kind for m in line.monitors if isinstance(m.verdict, Endpoint)}
    if line.untouched is not None:
        return
    after = rewritten(scene, line)
    assert said(after) == said(before)
    assert labels(after) == labels(before)
    assert after.kinds == before.kinds
