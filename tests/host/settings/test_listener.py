"""The terms of a VM's listeners: what is set for the VM, and what is set for one of them."""

from host.net.addresses import UnixAddress
from host.net.socket_access import SocketAccess
from host.settings.config import VMConfig
from host.settings.listener import ErrorStyle, Listener, Said, Terms, listener_name, settle

QEMU = UnixAddress("/q")
TOOLS = UnixAddress("/l")
OTHER = UnixAddress("/o", holds=True)


def test_terms_of_nothing() -> None:
    assert Terms().access == SocketAccess(0o600, None, None)
    assert Terms().errors is ErrorStyle.HMP


def test_listener_is_called_by_its_address() -> None:
    assert listener_name(OTHER) == "unix:/o"


def test_members_without_terms_of_their_own_stay() -> None:
    assert settle({"listen": (TOOLS,), "wait": True}, Terms()) == {"listen": (TOOLS,), "wait": True, "terms": Terms()}
    assert settle({}, Terms()) == {"terms": Terms()}


def test_prompt_has_no_form_of_qmp() -> None:
    of_vm = Terms(errors=ErrorStyle.QMP, pretty=True, telnet=True)
    vm = VMConfig(QEMU, (TOOLS,), (OTHER,), terms=of_vm)
    assert vm.terms_at("unix:/l") == of_vm
    assert vm.terms_at("unix:/o") == Terms(telnet=True)


def test_own_terms_complete_those_of_the_vm() -> None:
    of_vm = Terms(socket_group=7)
    said = {"listen": (TOOLS, Said(OTHER, {"socket_mode": 0o660})), "take_over": Said(QEMU, {"errors": ErrorStyle.QMP})}
    settled = settle(said, of_vm)
    assert settled == {
        "listen": (TOOLS, OTHER),
        "take_over": QEMU,
        "terms": of_vm,
        "own_listeners": (
            Listener(OTHER, Terms(socket_mode=0o660, socket_group=7)),
            Listener(QEMU, Terms(socket_group=7, errors=ErrorStyle.QMP)),
        ),
    }
    vm = VMConfig(QEMU, **settled)
    assert vm.terms_at("unix:/o").access == SocketAccess(0o660, None, 7)
    assert vm.terms_at("unix:/q").errors is ErrorStyle.QMP
    assert vm.terms_at("unix:/l") == vm.terms_at(None) == of_vm
