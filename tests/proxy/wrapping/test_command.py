"""From the call to QEMU: what it is started with, and who serves it. Nothing is forked or replaced here."""

import os
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

import host.audit_log.log
from host.audit_log.log import AuditLog, open_audit_log
from proxy.wrapping import command, invocation
from proxy.wrapping.children import close_all, open_descriptors
from proxy.wrapping.command import main
from proxy.wrapping.doors import Door, open_door
from proxy.wrapping.start import Start as Prepared
from proxy.wrapping.start import prepare
from tests.support.waiting import wait_for

QEMU = "/usr/bin/qemu-system-none"
QMP = ("-qmp", "unix:q,server=on,wait=off")
WAITING = ("-qmp", "unix:q,server=on")


class BecameError(Exception):
    """This process would be another program now."""


@dataclass
class Start:
    """What came of a call."""

    program: str = ""
    words: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    # What the proxy's process was to run, and whether it had a terminal.
    proxies: list[bool] = field(default_factory=list)
    is_parent: bool = False
    opened: list[Door | Prepared | AuditLog] = field(default_factory=list)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as name:
        monkeypatch.chdir(name)
        yield Path(name)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Callable[..., Start]]:
    before = open_descriptors()
    found = Start()

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            found.opened.append(function(*arguments))
            return found.opened[-1]

        return call

    def become(program: str, words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        found.program, found.words, found.environment = program, list(words), environment
        raise BecameError

    def fork_proxy(serve: Callable[[], object], *, has_terminal: bool) -> None:
        found.proxies.append(has_terminal)

    class Parent:
        qemu = -1

        def start(self, become_qemu: Callable[[], NoReturn]) -> None:
            found.is_parent = True
            self.become = become_qemu

        def release(self) -> None:
            assert found.proxies, "QEMU begins when the proxy is there"

        def end(self) -> NoReturn:
            self.become()

    monkeypatch.setattr(command, "open_door", noted(open_door))
    monkeypatch.setattr(command, "prepare", noted(prepare))
    monkeypatch.setattr(host.audit_log.log, "open_audit_log", noted(open_audit_log))
    monkeypatch.setattr(command, "become", become)
    monkeypatch.setattr(command, "fork_proxy", fork_proxy)
    monkeypatch.setattr(command, "Parent", Parent)
    monkeypatch.setattr(invocation, "CONFIG_FILE", "/none")
    monkeypatch.setenv("HMPSHIM_QEMU", QEMU)

    def run(*words: str, options: Sequence[str] = (), program: str = "hmp-proxy") -> Start:
        arguments = [program, *words] if "qemu" in program else [program, "wrap", *options, "--", "qemu-x", *words]
        try:
            found.status = main(arguments)
        except BecameError:
            found.status = None
        return found

    yield run
    # They would have gone with the process.
    for each in found.opened:
        each.close()
    close_all(open_descriptors() - before)


def test_monitor_is_moved_and_a_proxy_is_there(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    start = call("-m", "32", *QMP)
    assert start.program == QEMU
    assert start.words[:2] == ["qemu-x", "-readconfig"]
    assert "-qmp" not in start.words
    assert (start.proxies, start.is_parent) == ([False], False)
    assert stat.S_ISSOCK(os.stat("q").st_mode)
    assert capsys.readouterr().err == ""


def test_call_by_qemus_name(call: Callable[..., Start]) -> None:
    start = call(*QMP, program="/opt/qemu-system-x86_64")
    assert (start.words[0], start.proxies) == ("qemu-system-x86_64", [False])


@pytest.mark.parametrize(
    "words",
    [
        ("-version",),
        (*QMP, "-nonesuch", "-machine", "none"),
        (*QMP, "-qmp"),
        ("-nodefaults", "-display", "none"),
        (*QMP, "-readconfig", "nonesuch"),
        ("-loadvm", "t", "-machine", "none"),
        (*QMP, "-loadvm", "t", "-qmp"),
    ],
)
def test_qemu_runs_as_it_came_where_nothing_is_served(
    call: Callable[..., Start], capsys: pytest.CaptureFixture[str], words: Sequence[str]
) -> None:
    start = call(*words)
    assert start.words == ["qemu-x", *words]
    assert start.proxies == []
    assert not os.path.exists("q")
    assert capsys.readouterr().err == ""


def test_what_is_not_covered_is_told(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*QMP, "-monitor", "pty").proxies == [False]
    assert capsys.readouterr().err.startswith("hmp-proxy: not covered by the proxy: the monitor of -monitor pty ")
    os.remove("q")
    start = call(*QMP, "-set", "chardev.c.x=y")
    assert start.words[1] == "-qmp"
    assert capsys.readouterr().err.startswith("hmp-proxy: not covered by the proxy: -set ")


def test_old_kernel_is_told_of(
    call: Callable[..., Start], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "can_watch_processes", lambda: False)
    start = call(*QMP)
    assert (start.words, start.proxies) == (["qemu-x", *QMP], [])
    assert capsys.readouterr().err.startswith("hmp-proxy: not covered by the proxy: this Linux is older than 5.3")


def test_all_is_opened_or_nothing(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    words = (*QMP, "-qmp", "unix:none/q,server=on,wait=off")
    start = call(*words)
    assert (start.words, start.proxies) == (["qemu-x", *words], [])
    assert capsys.readouterr().err == "hmp-proxy: not covered by the proxy: No such file or directory\n"
    assert not os.path.exists("q")


def test_words_without_a_number_for_the_error(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    call("-qmp", f"unix:{'x' * 200},server=on,wait=off")
    assert capsys.readouterr().err == "hmp-proxy: not covered by the proxy: AF_UNIX path too long\n"


@pytest.mark.parametrize(("words", "umask"), [((), 0o002), (("-daemonize",), 0o027)])
def test_files_of_sockets_are_made_with_qemus_umask(call: Callable[..., Start], words: Sequence[str], umask: int) -> None:
    before = os.umask(0o002)
    try:
        call(*QMP, *words)
        assert os.umask(0o002) == 0o002
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("q").st_mode) == 0o777 & ~umask


def test_doors_are_opened_in_the_order_of_the_words_and_inherited_ones_first(call: Callable[..., Start]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        late = ("-mon", "late", *QMP, "-chardev", "socket,id=late,path=h,server=on,wait=off")
        start = call(*late, "-chardev", f"socket,id=given,fd={theirs.fileno()}", "-mon", "given")
    assert [each.monitor.label for each in start.opened if isinstance(each, Door)] == ["given", "compat_monitor0", "late"]


def test_default_monitor_is_opened_first(call: Callable[..., Start]) -> None:
    assert call("-nographic", "-serial", "none").proxies == [False]


def test_client_is_waited_for_before_qemu_begins(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    def connect() -> None:
        wait_for(lambda: os.path.exists("q"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("q")

    thread = threading.Thread(target=connect)
    thread.start()
    start = call(*WAITING)
    thread.join()
    assert start.proxies == [False]
    told = "qemu-x: -qmp unix:q,server=on: info: QEMU waiting for connection on: disconnected:unix:q,server=on\n"
    assert capsys.readouterr().err == told


def test_inherited_socket_is_not_qemus_any_more(call: Callable[..., Start], folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("l")
        listener.set_inheritable(True)
        number = listener.fileno()
        words = ("-chardev", f"socket,id=c,fd={number},server=on,wait=off", "-mon", "c", "-loadvm", "t")
        start = call(*words)
        assert not listener.get_inheritable()
    # Whoever handed it over knows the process that it started, also where there is something to load.
    assert (start.proxies, start.is_parent) == ([False], False)
    assert "-S" in start.words


@pytest.mark.parametrize("words", [(*QMP, "-loadvm", "t"), ("-nodefaults", "-display", "none", "-loadvm", "t")])
def test_qemu_is_a_child_where_something_is_loaded(call: Callable[..., Start], words: Sequence[str]) -> None:
    start = call(*words)
    assert (start.proxies, start.is_parent) == ([False], True)
    assert "-S" in start.words
    assert "-loadvm" not in start.words


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("-loadvm", "t", "-incoming", "defer"), ()),
        (("-loadvm", "t" * 2000), ()),
        (("-loadvm", "t"), ("--mode", "observe")),
    ],
)
def test_load_is_qemus_where_it_cannot_be_ours(
    call: Callable[..., Start], words: Sequence[str], options: Sequence[str]
) -> None:
    start = call(*QMP, *words, options=options)
    assert (start.proxies, start.is_parent) == ([False], False)
    assert list(words) == [word for word in start.words if word in words]


def test_qemu_is_a_child_at_a_terminal(call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda number: number == 0)
    start = call("-monitor", "stdio")
    assert (start.proxies, start.is_parent) == ([True], True)


def test_qemu_is_itself_at_pipes(call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda number: False)
    start = call("-qmp", "stdio")
    assert (start.proxies, start.is_parent) == ([False], False)


def test_configuration_file_of_qemu_is_read(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    Path("mon.cfg").write_text('[chardev "c"]\nbackend = "null"\n[mon]\nchardev = "c"\n')
    start = call(*QMP, "-readconfig", "mon.cfg")
    assert start.proxies == [False]
    assert capsys.readouterr().err == ""


def test_configuration_file_that_cannot_be_read_is_qemus_error(
    call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    Path("mon.cfg").write_text("")
    monkeypatch.setattr(command, "open", refuse, raising=False)
    assert call(*QMP, "-readconfig", "mon.cfg").proxies == []


@pytest.mark.parametrize("version", ["10.0.0", "11.1.0"])
def test_version_is_asked_for_where_labels_depend_on_it(
    call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    script = Path("script").absolute()
    script.write_text(f"#!/bin/sh\necho QEMU emulator version {version}\n")
    script.chmod(0o755)
    monkeypatch.setenv("HMPSHIM_QEMU", str(script))
    start = call("-chardev", "null,id=c", "-qmp", "chardev:c", *QMP)
    label = "compat_monitor1" if version == "10.0.0" else "compat_monitor0"
    assert any(f"id={label}" in word for word in start.words)
    # It is a script, which might start the wrapper again.
    assert start.environment["HMPSHIM_WRAPPED_BY"] == str(os.getpid())


def test_log_is_opened_before_qemu_begins(call: Callable[..., Start], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*QMP, options=("--audit", "log")).proxies == [False]
    assert os.path.exists("log")


def test_log_that_cannot_be_opened_keeps_qemu_from_beginning(
    call: Callable[..., Start], capsys: pytest.CaptureFixture[str]
) -> None:
    start = call(*QMP, options=("--audit", "/none/log"))
    assert (start.status, start.words) == (6, ())
    assert capsys.readouterr().err == "hmp-proxy: cannot write the audit log /none/log: No such file or directory\n"


def test_nothing_that_is_opened_comes_to_be_a_standard_stream(
    call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nohup QEMU <&- >&- 2>&-`."""
    kept = [os.dup(number) for number in range(3)]
    monkeypatch.setattr(sys, "stderr", None)
    try:
        for number in range(3):
            os.close(number)
        start = call(*QMP)
        links = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
        inherited = [os.get_inheritable(number) for number in range(3)]
        assert sys.stderr is not None
    finally:
        for number, copy in enumerate(kept):
            os.dup2(copy, number)
            os.close(copy)
    assert start.proxies == [False]
    assert links == ["/dev/null"] * 3
    # QEMU finds them closed, as they came.
    assert inherited == [False] * 3


def test_circle_is_refused(
    call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HMPSHIM_WRAPPED_BY", str(os.getpid()))
    assert call(*QMP).status == 127
    assert "starts the wrapper again" in capsys.readouterr().err


def test_qemu_is_looked_for_on_the_path(
    call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HMPSHIM_QEMU")
    monkeypatch.setenv("PATH", "/none")
    assert call(*QMP).status == 127
    assert capsys.readouterr().err.startswith("hmp-proxy: cannot find the QEMU to run, qemu-x: ")


def test_interruption_has_a_status_of_its_own(call: Callable[..., Start], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "open_door", interrupt)
    assert call(*QMP).status == 130
