"""`hmp-proxy` from its command line to its exit status; test_vm_proxy.py and test_daemon_signals.py run it as a process."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.process.daemon import Daemon
from proxy.program import main
from tests.fakes.qemu import FakeQEMU, uefi_vm
from tests.support.proxy.config_files import VM1
from tests.support.proxy.running_vm_proxy import in_thread

SERVING = ("--upstream", "unix:/none/q", "--listen", "unix:/none/a")


@pytest.fixture(autouse=True)
def process_is_as_before() -> Iterator[None]:
    """What the program sets for its whole process."""
    level, limit = logging.getLogger().level, sys.getrecursionlimit()
    yield
    logging.getLogger().setLevel(level)
    sys.setrecursionlimit(limit)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call the program with these arguments, and return its exit status."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["hmp-proxy", *arguments])
        return main()

    return call


def test_plan_is_printed(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> int:
        async with FakeQEMU(uefi_vm()) as qemu:
            return await in_thread(call, "plan", "--upstream", f"unix:{qemu.path}", "savevm", "t")

    assert asyncio.run(run()) == 0
    assert capsys.readouterr().out.startswith("plan of: savevm t\npolicy: auto ")


def test_status_of_no_proxy_is_an_error(call: Callable[..., int], caplog: pytest.LogCaptureFixture) -> None:
    assert call("status", "--control", "/none/c") == 3
    assert caplog.messages[0].startswith("cannot ask the proxy at /none/c: No such file or directory")


def test_status_is_printed(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.commands.asking._converse", lambda *_: b'{"return": {"vms": []}}')
    assert call("status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"vms": []}


def test_mistakes_are_errors_and_their_status(
    call: Callable[..., int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.commands.asking._converse", lambda *_: b'{"return": ["a: wrong", "b: wrong"]}')
    assert call("reload") == 2
    assert caplog.messages == ["a: wrong", "b: wrong"]


def test_units_are_printed(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.commands.install_units.own_command", lambda: ("/usr/bin/hmp-proxy",))
    assert call("install-units", "--print") == 0
    assert capsys.readouterr().out.startswith("# /etc/systemd/system/hmp-proxy.service\n")


def test_log_may_be_json(call: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(daemon: Daemon) -> None:
        logging.getLogger("proxy.test").warning("said")

    monkeypatch.setattr(Daemon, "run", end)
    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        assert call(*SERVING, "--log-format", "json") == 0
    assert json.loads((tmp_path / "log").read_text())["message"] == "said"


def test_configuration_is_checked(
    call: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_text(VM1)
    assert call("--check", "--config", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: 1 VM, no mistakes\n"
    path.write_text(f"{VM1}mode = 1\npolicy = 2\n")
    assert call("--check", "--config", str(path)) == 2
    assert [message.partition(": ")[0] for message in caplog.messages] == [f"{path}:4", f"{path}:5"]
    caplog.clear()
    assert call("--check", *SERVING, "--tls-certificate", "/none", "--tls-clients", "any") == 2
    assert caplog.messages == ["cannot use TLS with /none: No such file or directory (setting tls_certificate)"]


@pytest.mark.parametrize("form", [("plan", *SERVING[:2], "savevm"), SERVING], ids=["plan", "serve"])
def test_error_is_one_line_and_its_status(
    call: Callable[..., int], caplog: pytest.LogCaptureFixture, form: tuple[str, ...]
) -> None:
    assert call(*form) == 3
    reason = "No such file or directory (is the VM running, with this QMP socket?)"
    assert caplog.messages == [f"cannot connect to QEMU at unix:/none/q: {reason}"]


@pytest.mark.parametrize(("options", "level"), [((), logging.INFO), (("--verbose",), logging.DEBUG)], ids=repr)
def test_orderly_end_is_a_success(
    call: Callable[..., int], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], level: int
) -> None:
    async def end(daemon: Daemon) -> None:
        assert logging.getLogger().level == level

    monkeypatch.setattr(Daemon, "run", end)
    assert call(*SERVING, *options) == 0


def test_socket_at_which_nobody_listens_is_told(
    call: Callable[..., int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end(daemon: Daemon) -> None:
        pass

    monkeypatch.setattr(Daemon, "run", end)
    monkeypatch.setattr("proxy.program.unclaimed_names", lambda addresses: ["vm1.socket"][: len(list(addresses))])
    assert call(*SERVING) == 0
    told = 'and clients wait there in vain: write listen = "systemd:vm1.socket"'
    assert caplog.messages == [f"no VM listens at the socket 'vm1.socket' of systemd, {told}"]


def test_interruption_has_a_status_of_its_own(call: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupt(daemon: Daemon) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Daemon, "run", interrupt)
    assert call(*SERVING) == 130
