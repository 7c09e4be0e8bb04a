"""One row for each VM, with the socket that can be used best."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.net.addresses import AcceptAddress, DescriptorAddress, TCPAddress, UnixAddress
from host.settings.config import VMConfig
from repl.finding import vms
from repl.finding.control import OthersCommand, ServedVM
from repl.finding.processes import RunningQEMU
from repl.finding.vms import FoundVM, State, Via, merge

TCP = TCPAddress("h", 1)


@pytest.fixture
def legacy(tmp_path: Path) -> UnixAddress:
    return touched(tmp_path / "legacy")


@pytest.fixture
def own(tmp_path: Path) -> UnixAddress:
    return touched(tmp_path / "qmp")


def touched(path: Path) -> UnixAddress:
    path.touch()
    return UnixAddress(str(path))


@contextmanager
def listened(address: UnixAddress) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        os.unlink(address.path)
        listener.bind(address.path)
        listener.listen()
        yield


def test_all_that_is_told_of_one_qemu_is_one_row(legacy: UnixAddress, own: UnixAddress) -> None:
    config = VMConfig(own, (legacy,), name="vm1")
    served = ServedVM("vm1", str(own), (legacy,), is_served=True)
    qemu = RunningQEMU(5, "guest", (own, TCP))
    paths = {legacy.path: True, own.path: True}
    row = FoundVM("vm1", legacy, Via.PROXY, State.SERVED, config)
    assert merge([config, config], [served, served], [qemu], paths) == [row]
    assert str(row) == f"proxy's socket {legacy}, served"
    # The proxy may have been told another address than the file has by now.
    assert merge([config], [ServedVM("vm1", "unix:/other", (legacy,), is_served=True)], [], paths) == [row]


def test_qemus_of_one_name_are_two_rows() -> None:
    rows = merge([], [], [RunningQEMU(1, "a", (TCP,)), RunningQEMU(2, "a", (TCPAddress("h", 2),))], {})
    assert [(row.name, str(row.address), row.state) for row in rows] == [("a", "tcp:h:1", ""), ("a", "tcp:h:2", "")]
    assert str(rows[0]) == "QEMU's socket tcp:h:1"


@pytest.mark.parametrize("claims_first", [True, False])
def test_claim_does_not_change_what_is_known_of_a_qemu(own: UnixAddress, claims_first: bool) -> None:
    known, claimed = RunningQEMU(1, "a", (own, TCP)), RunningQEMU(2, None, (own,), is_claimed=True)
    (row,) = merge([], [], [claimed, known] if claims_first else [known, claimed], {})
    assert (row.name, row.sockets) == ("a", frozenset({own, TCP}))


def test_vm_is_called_as_the_proxy_then_the_file_then_qemu_calls_it() -> None:
    served, qemu = ServedVM("p", str(TCP), (), is_served=False), RunningQEMU(1, "q", (TCP,))
    assert [row.name for row in merge([VMConfig(TCP, name="f")], [served], [qemu], {})] == ["p"]
    assert [row.name for row in merge([VMConfig(TCP, name="f")], [], [qemu], {})] == ["f"]
    assert [row.name for row in merge([VMConfig(TCP)], [], [qemu], {})] == ["q"]
    assert [row.name for row in merge([VMConfig(TCP)], [], [], {})] == ["tcp:h:1"]


def test_address_that_a_proxy_has_for_a_name_is_none() -> None:
    """A proxy on a command line without --name has been told no other."""
    served, qemu = ServedVM(str(TCP), str(TCP), (), is_served=False), RunningQEMU(1, "two guest", (TCP,))
    assert [row.name for row in merge([], [served], [qemu], {})] == ["two guest"]
    assert [row.name for row in merge([VMConfig(TCP, name="f")], [served], [qemu], {})] == ["f"]
    assert [row.name for row in merge([], [served], [RunningQEMU(1, None, (TCP,))], {})] == [str(TCP)]


def test_all_sockets_that_lead_to_a_vm_are_kept(own: UnixAddress) -> None:
    served = ServedVM("p", str(own), (UnixAddress("/none"), TCP), is_served=True)
    (row,) = merge([], [served], [RunningQEMU(1, "q", (own,))], {own.path: True})
    assert row.sockets == {own, TCP, UnixAddress("/none")}


@pytest.mark.parametrize(("has_client", "state"), [(True, State.BUSY), (False, State.FREE)])
def test_qemus_own_socket_is_free_or_has_its_one_client(own: UnixAddress, has_client: bool, state: State) -> None:
    assert merge([], [], [RunningQEMU(5, "a", (own,))], {own.path: has_client}) == [FoundVM("a", own, Via.QEMU, state)]


@pytest.mark.parametrize("has_client", [True, False])
def test_socket_of_a_wrapped_qemu_is_the_proxys(own: UnixAddress, has_client: bool) -> None:
    rows = merge([], [], [RunningQEMU(5, "a", (own,), is_wrapped=True)], {own.path: has_client})
    assert rows == [FoundVM("a", own, Via.PROXY, State.SERVED)]


def test_free_socket_of_qemu_is_taken_where_it_has_two(own: UnixAddress, legacy: UnixAddress) -> None:
    (row,) = merge([], [], [RunningQEMU(5, "a", (legacy, own))], {legacy.path: True, own.path: False})
    assert row.address == own


def test_proxy_that_is_away_is_passed_by(own: UnixAddress, tmp_path: Path) -> None:
    config = VMConfig(own, (UnixAddress(str(tmp_path / "none")),), name="a")
    assert merge([config], [], [], {own.path: False}) == [FoundVM("a", own, Via.QEMU, State.FREE, config)]


def test_vm_is_off_where_the_proxy_waits_for_it(legacy: UnixAddress) -> None:
    (row,) = merge([], [ServedVM("a", "unix:/none", (legacy,), is_served=False)], [], {legacy.path: False})
    assert (row.state, row.via) == (State.OFF, Via.PROXY)


def test_vm_is_busy_while_a_snapshot_command_runs(legacy: UnixAddress) -> None:
    (row,) = merge(
        [],
        [ServedVM("a", "unix:/q", (legacy,), is_served=True, running=OthersCommand("savevm", "tool", 1.0))],
        [],
        {legacy.path: True},
    )
    assert row.state is State.BUSY


@pytest.mark.parametrize(("is_told", "state"), [(True, State.SERVED), (False, State.UNKNOWN)])
def test_listener_on_tcp_is_known_by_the_proxy_alone(is_told: bool, state: State) -> None:
    config = VMConfig(UnixAddress("/none"), (TCP,), name="a")
    served = [ServedVM("a", "unix:/none", (TCP,), is_served=True)] if is_told else []
    assert merge([config], served, [], {}) == [FoundVM("a", TCP, Via.PROXY, state, config)]


def test_listener_that_the_kernel_does_not_name_is_asked(legacy: UnixAddress) -> None:
    config = VMConfig(UnixAddress("/none"), (legacy,), name="a")
    assert [row.state for row in merge([config], [], [], {})] == [State.OFF]
    with listened(legacy):
        assert [row.state for row in merge([config], [], [], {})] == [State.SERVED]


def test_qemus_own_socket_is_never_asked(own: UnixAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has room for one client."""
    monkeypatch.delattr(vms, "_answers")
    assert [row.state for row in merge([VMConfig(own)], [], [], {})] == [State.UNKNOWN]


def test_path_that_is_taken_over_is_the_proxys(own: UnixAddress) -> None:
    config = VMConfig(own, take_over=own, name="a")
    rows = merge([config], [], [RunningQEMU(1, "a", (own,))], {own.path: False})
    assert rows == [FoundVM("a", own, Via.PROXY, State.SERVED, config)]


def test_socket_without_access_is_told_of_a_file_and_not_of_other_processes(
    own: UnixAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert [row.state for row in merge([VMConfig(own)], [], [], {own.path: False})] == [State.NO_ACCESS]
    assert merge([], [], [RunningQEMU(1, "a", (own,))], {own.path: False}) == []

    def forbidden(path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "stat", forbidden)
    assert [row.state for row in merge([VMConfig(own)], [], [], {})] == [State.NO_ACCESS]


def test_what_cannot_be_connected_to_is_no_row() -> None:
    configs = [VMConfig(DescriptorAddress(4), name="a"), VMConfig(AcceptAddress(UnixAddress("/a")), name="b")]
    assert merge(configs, [ServedVM("c", "fd:3", (), is_served=True)], [RunningQEMU(1, "d", ())], {}) == []


def test_listener_whose_path_is_too_long_for_an_address_is_off(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    (row,) = merge([VMConfig(TCP, (touched(deep / "l"),))], [], [], {})
    assert row.sockets == {TCP, UnixAddress(f"{deep}/l")}
    assert (row.address, row.state) == (TCP, State.UNKNOWN)
