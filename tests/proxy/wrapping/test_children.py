"""The processes around a wrapped QEMU. What ends a process, or is its parent, is tried in processes of their own."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest

from proxy.wrapping.children import Parent, become, can_watch_processes, close_all, fork_proxy, open_descriptors
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S
from tests.support.waiting import wait_for

# Python 3.12 and newer warn of a fork beside the threads that pytest may have.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
HANDLED = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
IMPORTS = "import os, signal, sys, time\nfrom proxy.wrapping.children import *\n"


@pytest.fixture(autouse=True)
def _handlers_are_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def program(text: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", IMPORTS + text]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(text: str) -> tuple[int, str, str]:
    """Run a program; return its status and what it and all that came of it wrote."""
    process = program(text)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    return process.returncode, stdout, stderr


# -- becoming QEMU --------------------------------------------------------------------------------------------------------


def test_process_becomes_the_program_under_another_name() -> None:
    shown = ended("become('/bin/sh', ['name', '-c', 'echo $0 $A $$', 'zero'], {'A': 'b'})")
    assert shown[0] == 0
    assert shown[1].split()[:2] == ["zero", "b"]


def ignored_beside(number: signal.Signals) -> set[int]:
    """Return what a program ignores: this signal, and what the tests were started with (nohup, a shell's `&`)."""
    ours = {one for one in signal.valid_signals() if signal.getsignal(one) is signal.SIG_IGN}
    return {number, *(ours - {signal.SIGPIPE, signal.SIGXFSZ})}  # these are Python's


def shown_ignored(status: str) -> set[int]:
    """Read a line of proc_pid_status(5), SigIgn."""
    mask = int(status.split()[1], 16)
    return {number for number in signal.valid_signals() if mask & 1 << (number - 1)}


def test_program_finds_the_signals_as_python_found_them() -> None:
    text = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nbecome('/bin/grep', ['grep', 'SigIgn', '/proc/self/status'], {})"
    _, stdout, _ = ended(text)
    assert shown_ignored(stdout) == ignored_beside(signal.SIGHUP)


class ExitedError(Exception):
    """What `os._exit` was called with."""


@pytest.mark.parametrize(("path", "status"), [("/none/qemu", 127), ("/", 126)])
def test_program_that_cannot_be_run_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, status: int
) -> None:
    def leave(status: int) -> NoReturn:
        raise ExitedError(status)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(ExitedError, match=str(status)):
        become(path, ["qemu"], {})
    assert capsys.readouterr().err.startswith(f"hmp-proxy: cannot run {path}: ")


# -- descriptors ----------------------------------------------------------------------------------------------------------


def test_old_kernel_has_no_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_watch_processes()

    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not can_watch_processes()


def test_open_descriptors_are_those_of_the_process() -> None:
    before = open_descriptors()
    reader, writer = os.pipe()
    assert open_descriptors() - before == {reader, writer}
    close_all([reader, writer, reader, 987654])
    assert open_descriptors() == before


# -- the proxy's process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_terminal", [False, True])
def test_proxy_is_nobodys_child(has_terminal: bool) -> None:
    reader, writer = os.pipe()

    def serve() -> None:
        # The process between the two has ended, or is about to.
        os.write(writer, f"{os.getpid()} {os.getsid(0)} {os.getppid() == first}\n".encode())

    first = os.getpid()
    fork_proxy(serve, has_terminal=has_terminal)
    os.close(writer)
    with open(reader) as told:
        pid, session, is_child = told.read().split()
    assert int(pid) != os.getpid()
    # At a terminal it stays in the session that has it.
    assert int(session) == (os.getsid(0) if has_terminal else int(pid))
    assert is_child == "False"


def test_proxy_hears_no_signal_that_is_meant_for_qemu() -> None:
    text = """
def serve():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        os.kill(os.getpid(), number)
    print('lives', flush=True)
fork_proxy(serve, has_terminal=False)
"""
    assert ended(text) == (0, "lives\n", "")


IGNORED = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"


def test_ends_of_children_may_be_ignored() -> None:
    """As whoever starts QEMU may do it for all that it starts; QEMU finds it so."""
    forked = "fork_proxy(lambda: None, has_terminal=False)\n"
    shows = "become('/bin/grep', ['grep', 'SigIgn', '/proc/self/status'], {})\n"
    for text in (forked + shows, PARENT.format(become=shows, before=forked, after="")):
        status, stdout, stderr = ended(IGNORED + text)
        assert (status, stderr) == (0, "")
        assert shown_ignored(stdout) == ignored_beside(signal.SIGCHLD)


def test_status_is_known_also_where_ends_are_ignored() -> None:
    assert ended(IGNORED + parent("exit 5"))[0] == 5


def test_fault_in_the_proxy_is_told_and_goes_no_further() -> None:
    status, stdout, stderr = ended("fork_proxy(lambda: 1 / 0, has_terminal=False)\nprint('goes on')")
    assert (status, stdout) == (0, "goes on\n")
    assert "ZeroDivisionError" in stderr


# -- QEMU as a child ------------------------------------------------------------------------------------------------------

PARENT = """
def qemu():
    {become}
parent = Parent()
parent.start(qemu)
{before}
parent.release()
{after}
parent.end()
"""


def parent(script: str, *, before: str = "", after: str = "") -> str:
    return PARENT.format(become=f"become('/bin/sh', ['sh', '-c', {script!r}], {{}})", before=before, after=after)


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -9 $$", -9), ("kill -15 $$", -15), ("kill -6 $$", -6)],
)
def test_parent_ends_as_qemu_has(script: str, status: int) -> None:
    assert ended(parent(script))[0] == status


def test_failure_that_the_proxy_tells_of_is_a_status() -> None:
    told = "fork_proxy(lambda: os.write(parent.to_parent, FAILED), has_terminal=False)"
    assert ended(parent("exit 0", before=told))[0] == 1
    assert ended(parent("kill -9 $$", before=told))[0] == 1


def test_parent_waits_until_the_proxy_has_let_go() -> None:
    served = "fork_proxy(lambda: (parent.leave_to_proxy(), sys.stdin.read(), os.write(1, b'proxy\\n')), has_terminal=False)"
    process = program(parent("exit 3", before=served))
    assert process.stdin is not None
    process.stdin.flush()
    assert process.poll() is None
    stdout, _ = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, stdout) == (3, "proxy\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    script = f"trap 'echo heard; exit 5' {int(number)}; echo ready; while :; do sleep 0.01; done"
    process = program(parent(script))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, stdout) == (5, "heard\n")


def test_signal_that_was_ignored_is_handled_where_qemu_handles_it() -> None:
    """It does so though `nohup` has started it."""
    handled = "signal.signal(signal.SIGHUP, lambda *_: os._exit(5)); print('ready', flush=True); signal.pause()"
    script = f'exec {sys.executable} -c "import os, signal; {handled}"'
    process = program("signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + parent(script))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 5


def test_signal_that_was_ignored_stays_so_until_then() -> None:
    """As for what `nohup` starts."""
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    text = parent("grep SigIgn /proc/self/status", after="os.kill(os.getpid(), signal.SIGHUP)")
    status, stdout, _ = ended(ignored + text)
    assert status == 0
    assert int(stdout.split()[1], 16) & 1 << (signal.SIGHUP - 1)


def test_qemu_does_not_begin_without_its_parent() -> None:
    process = program(parent("echo begun", before="os.kill(os.getpid(), signal.SIGKILL)"))
    stdout, _ = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, stdout) == (-signal.SIGKILL, "")


def test_qemu_is_killed_with_its_parent() -> None:
    process = program(parent("echo $$; exec sleep 1000"))
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=DEADLINE_S)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


def test_parent_in_this_process() -> None:
    def begin() -> NoReturn:
        become("/bin/sh", ["sh", "-c", "exit 7"], {})

    stands_for = Parent()
    stands_for.start(begin)
    stands_for.release()
    assert stands_for.wait() == 7
    # It has ended, and hears nothing more.
    signal.raise_signal(signal.SIGTERM)
    left = {"own", "qemu", "_from_proxy"}
    close_all(getattr(stands_for, name) for name in left)


def test_what_is_the_parents_is_closed_in_the_proxy() -> None:
    before = open_descriptors()
    stands_for = Parent()
    stands_for.leave_to_proxy()
    left = open_descriptors() - before
    assert {stands_for.own, stands_for.to_parent} < left
    close_all(left)
