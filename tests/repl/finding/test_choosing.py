"""One of the VMs: by name, as the only one, or by asking."""

import contextlib
from collections.abc import Sequence

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from repl.finding.choosing import NoVMError, by_number, choose
from repl.finding.looking import Look
from repl.finding.vms import FoundVM, State, Via


def vm(name: str, path: str = "/p") -> FoundVM:
    return FoundVM(name, UnixAddress(path), Via.QEMU, State.FREE)


def chosen(name: str | None, *vms: FoundVM, can_ask: bool = False) -> FoundVM:
    asked: list[Sequence[FoundVM]] = []

    def ask(offered: Sequence[FoundVM]) -> FoundVM:
        asked.append(offered)
        return offered[-1]

    def finder(only: Sequence[VMConfig] | None) -> Look:
        return Look(vms, ("/f (not there)", "/proc (no running QEMU)"))

    found = choose(name, ask=ask if can_ask else None, finder=finder)
    assert bool(asked) is (can_ask and name is None)
    return found


def test_name_chooses() -> None:
    assert chosen("b", vm("a"), vm("b", "/b")).address == UnixAddress("/b")


def test_only_one_is_taken_and_a_person_is_told() -> None:
    assert chosen(None, vm("a")).name == "a"
    assert chosen(None, vm("a"), can_ask=True).name == "a"


def test_person_chooses_of_several() -> None:
    assert chosen(None, vm("a"), vm("b"), can_ask=True).name == "b"


@pytest.mark.parametrize(("text", "path"), [("1", "/a"), ("2", "/b"), ("0", None), ("3", None), ("²", None), ("a", None)])
def test_number_chooses_in_a_list(text: str, path: str | None) -> None:
    found = by_number([vm("a", "/a"), vm("1", "/b")], text)
    assert (None if found is None else found.address) == (None if path is None else UnixAddress(path))


@pytest.mark.parametrize("text", ["0000000019", "0000000001x", "1000000000", "000000001" + "0" * 5000, "0" * 5000])
def test_long_number_chooses_nothing(text: str) -> None:
    assert by_number([vm("a", "/a"), vm("1", "/b")], text) is None


@pytest.mark.parametrize("name", ["a", "b", None])
def test_mistakes_in_files_are_told_whether_a_vm_is_found_or_not(name: str | None) -> None:
    told: list[str] = []
    with contextlib.suppress(NoVMError):
        choose(name, finder=lambda only: Look((vm("a"),), (), ("/f:2: k: wrong", "/g:3: l: wrong")), tell=told.append)
    assert told == ["/f:2: k: wrong", "/g:3: l: wrong"]


@pytest.mark.parametrize(
    ("name", "vms", "said"),
    [
        (None, [vm("a"), vm("b", "/b"), vm("b", "/c")], r"^say which VM: one of a, b \(unix:/b\), b \(unix:/c\)$"),
        (
            None,
            [],
            r"^no VM was found; looked at /f \(not there\), /proc \(no running QEMU\); start QEMU with -qmp .* hmp-repl /",
        ),
        ("b", [vm("b", "/b"), vm("b", "/c")], "^several VMs are called 'b'; give an address: unix:/b, unix:/c$"),
        ("VM1", [vm("vm1"), vm("x")], r"^no VM is called 'VM1'; did you mean 'vm1'\?$"),
        ("zzz", [vm("vm1"), vm("x")], "^no VM is called 'zzz'; there are vm1, x$"),
        ("zzz", [], r"^no VM is called 'zzz'; looked at /f \(not there\), "),
    ],
)
def test_what_is_not_clear_is_an_error(name: str | None, vms: Sequence[FoundVM], said: str) -> None:
    with pytest.raises(NoVMError, match=said) as raised:
        chosen(name, *vms)
    assert raised.value.exit_status == 2
