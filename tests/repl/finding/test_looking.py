"""A look everywhere, at a folder that looks like /proc, files, and a proxy's control socket."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.settings.config import VMConfig
from repl.finding.configured import load_vms
from repl.finding.looking import Places, look
from tests.support.process_folder import add_process, write_sockets
from tests.support.processes.vm_statuses import OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


def places(folder: Path) -> Places:
    return Places([folder / "f", folder / "g"], [folder / "c", folder / "d", folder / "c"], folder / "proc")


def test_nothing_anywhere(folder: Path) -> None:
    found = look(None, places(folder))
    assert found.vms == ()
    assert found.places == (
        f"{folder}/f (not there)",
        f"{folder}/g (not there)",
        f"{folder}/c (no proxy answers)",
        f"{folder}/d (no proxy answers)",
        f"{folder}/proc (no running QEMUs)",
    )


def test_something_everywhere(folder: Path) -> None:
    (folder / "f").write_text('[[vm]]\nname = "file"\nupstream = "unix:/none"\nlisten = "unix:/l"\n')
    (folder / "g").write_text('[[vm]]\nupstream = "nonsense"\nlisten = "unix:/k"\n[[vm]]\nname = "good"\ntake_over = "/g"\n')
    (folder / "qmp").touch()
    add_process(folder / "proc", 7, "kvm", "-name", "guest", "-qmp", f"unix:{folder}/qmp,server=on")
    write_sockets(folder / "proc", {f"{folder}/qmp": False})
    told = as_told(OFF)
    told["vms"][0]["listen"] = ["unix:/p"]
    with answering(folder / "c", json.dumps({"return": told}).encode()):
        found = look(None, places(folder))
    rows = [(vm.name, vm.via.value, vm.state.value) for vm in found.vms]
    assert rows == [
        ("file", "proxy", "off"),
        ("good", "proxy", "off"),
        ("long-name", "proxy", "off"),
        ("guest", "QEMU", "free"),
    ]
    counts = [text.rpartition(" (")[2] for text in found.places]
    assert counts == ["1 VM)", "1 VM, 1 mistake)", "1 VM)", "no proxy answers)", "1 running QEMU)"]
    (mistake,) = found.mistakes
    assert mistake.startswith(f"{folder}/g:2: upstream: ")


def test_proxy_without_a_control_socket_is_found_where_it_listens(folder: Path) -> None:
    for name in ("qmp", "l"):
        (folder / name).touch()
    add_process(folder / "proc", 7, "kvm", "-name", "two guest", "-qmp", f"unix:{folder}/qmp,server=on")
    add_process(folder / "proc", 8, "hmp-proxy", "--upstream", f"unix:{folder}/qmp", "--listen", f"unix:{folder}/l")
    write_sockets(folder / "proc", {f"{folder}/qmp": True, f"{folder}/l": True})
    (vm,) = look(None, places(folder)).vms
    assert (vm.name, vm.via.value, vm.state.value, str(vm.address)) == ("two guest", "proxy", "served", f"unix:{folder}/l")
    write_sockets(folder / "proc", {f"{folder}/qmp": True})
    (vm,) = look(None, places(folder)).vms
    assert (vm.name, vm.via.value, vm.state.value) == ("two guest", "QEMU", "busy")


def test_proxy_that_listens_at_a_relative_path_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel knows the path as it was bound."""
    monkeypatch.chdir(folder)
    (folder / "qmp").touch()
    add_process(folder / "proc", 7, "kvm", "-qmp", f"unix:{folder}/qmp,server=on")
    add_process(folder / "proc", 8, "hmp-proxy", f"--upstream=unix:{folder}/qmp", "--listen=unix:l", folder=folder)
    write_sockets(folder / "proc", {f"{folder}/qmp": True, "l": True})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("l")
        assert [vm.state.value for vm in look(None, places(folder)).vms] == ["busy"], "nobody listens yet"
        listener.listen()
        (vm,) = look(None, places(folder)).vms
    assert (vm.via.value, vm.state.value, str(vm.address)) == ("proxy", "served", f"unix:{folder}/l")


def test_socket_whose_path_fits_no_address_does_not_end_the_search(folder: Path) -> None:
    """A program in its folder can bind a socket there by a short name."""
    deep = folder / ("d" * 120)
    deep.mkdir()
    (folder / "qmp").touch()
    here = os.open(deep, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/l")
            add_process(folder / "proc", 7, "kvm", "-qmp", f"unix:{folder}/qmp,server=on")
            add_process(folder / "proc", 8, "hmp-proxy", f"--upstream=unix:{folder}/qmp", "--listen=unix:l", folder=deep)
            write_sockets(folder / "proc", {f"{folder}/qmp": False})
            assert [(vm.via.value, vm.state.value) for vm in look(None, places(folder)).vms] == [("QEMU", "free")]
    finally:
        os.close(here)


def test_stranger_cannot_lead_to_a_socket_of_the_strangers(folder: Path) -> None:
    """Neither with a proxy's command line nor with QEMU's, nor by the name of a VM."""
    for name in ("qmp", "evil"):
        (folder / name).touch()
    upstream, evil = f"unix:{folder}/qmp", f"unix:{folder}/evil"
    (folder / "f").write_text(f'[[vm]]\nname = "vm1"\nupstream = "{upstream}"\nlisten = "unix:{folder}/none"\n')
    (folder / "evil.toml").write_text(f'[[vm]]\nname = "vm1"\nupstream = "{evil}"\nlisten = "{evil}2"\n')
    qemu = ("kvm", "-name", "other", "-qmp", f"{upstream},server=on", "-qmp", f"{evil},server=on")
    strangers = [
        ("hmp-proxy", "--upstream", upstream, "--listen", evil),
        ("hmp-proxy", "--config", f"{folder}/evil.toml"),
        ("hmp-proxy", "wrap", "--", *qemu),
        qemu,
    ]
    for pid, words in enumerate(strangers, 7):
        add_process(folder / "proc", pid, *words, uids=[7] * 4)
    write_sockets(folder / "proc", {f"{folder}/qmp": True, f"{folder}/evil": False, f"{folder}/evil2": False})
    found = {str(vm.address): vm for vm in look(None, places(folder)).vms}
    vm = found.pop(upstream)
    assert (vm.name, vm.via.value, {str(one) for one in vm.sockets}) == ("vm1", "QEMU", {upstream, f"unix:{folder}/none"})
    assert [(vm.name, str(vm.address)) for vm in found.values()] == [(evil, evil)], "only its place is told"


def test_of_a_file_that_was_asked_for_only_its_vms_are_found(folder: Path) -> None:
    (folder / "qmp").touch()
    (folder / "x").write_text(f'[[vm]]\nname = "a"\nupstream = "unix:{folder}/qmp"\nlisten = "unix:/l"\n')
    for pid, name in ((7, "qmp"), (8, "other")):
        add_process(folder / "proc", pid, "kvm", "-qmp", f"unix:{folder}/{name},server=on")
    write_sockets(folder / "proc", {f"{folder}/qmp": True, f"{folder}/other": True})
    only: list[VMConfig] = load_vms(str(folder / "x"))
    found = look(only, places(folder))
    assert [(vm.name, vm.state.value, vm.config) for vm in found.vms] == [("a", "busy", only[0])]
    assert len(found.places) == 3


def test_file_in_a_folder_without_access_is_told(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def forbidden(path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", forbidden)
    found = look(None, places(folder))
    assert found.places[0] == f"{folder}/f (No such file or directory)"
    assert found.mistakes == ()


def test_places_are_those_of_this_machine() -> None:
    assert len(Places().configs) == 2
    assert len(Places().controls) >= 2
    assert str(Places().proc) == "/proc"
