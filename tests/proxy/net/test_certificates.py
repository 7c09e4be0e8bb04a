"""The certificates of one VM: made at its start, made anew while it runs, and kept where a new one is wrong."""

import asyncio
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from host.errors import TLSError
from host.net.addresses import AcceptAddress, TCPAddress, UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import ErrorStyle, Listener, Terms, TLSClients, listener_name
from proxy.net.certificates import Certificates, load
from proxy.net.tls import TLSEnd
from tests.support.checkout import ROOT
from tests.support.proxy.certificates import Authority, Identity
from tests.support.proxy.running_vm_proxy import until

NET = TCPAddress("127.0.0.1", 4444)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def config(own: Identity, **members: Any) -> VMConfig:
    terms = Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY)
    return VMConfig(UnixAddress("/q"), (NET,), terms=terms, name="vm1", **members)


def shown(certificates: Certificates, terms: Terms) -> str:
    """Return the serial number of the certificate that a client is shown."""

    async def run() -> str:
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        outcomes: list[TLSEnd | str] = []
        certificates.begin_handshake(ours, terms, outcomes.append)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with await asyncio.to_thread(context.wrap_socket, theirs) as client:
            await until(lambda: outcomes)
            (end,) = outcomes
            assert isinstance(end, TLSEnd)
            end.close()
            return ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"")

    return asyncio.run(run())


def test_files_are_read_again(authority: Authority) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    vm = config(first)
    certificates = Certificates(load(vm))
    before = shown(certificates, vm.terms)
    for name in ("certificate", "key"):
        Path(getattr(second, name)).rename(getattr(first, name))
    assert shown(certificates, vm.terms) == before
    certificates.contexts = load(vm)
    assert shown(certificates, vm.terms) != before


def test_files_that_vms_share_are_read_once(authority: Authority) -> None:
    vm, known = config(authority.issue("own")), {}  # type: ignore[var-annotated]
    first, second = load(vm, known), load(vm, known)
    assert first.of_listeners[vm.terms] is second.of_listeners[vm.terms]


def test_wrong_file_is_told_at_the_start(authority: Authority) -> None:
    with pytest.raises(TLSError):
        load(config(Identity("/nowhere/a.pem", "/nowhere/a.key")))


def test_qemu_is_talked_to_by_a_context_of_its_own(authority: Authority) -> None:
    own = authority.issue("own")
    files: dict[str, Any] = {"upstream_tls_ca": authority.ca, "upstream_tls_certificate": own.certificate}
    files["upstream_tls_key"] = own.key
    connecting = Certificates(load(VMConfig(NET, (NET,), **files))).upstream
    assert connecting is not None
    assert (connecting.is_server, connecting.expected_name) == (False, "127.0.0.1")
    accepting = Certificates(load(VMConfig(AcceptAddress(NET), (NET,), **files))).upstream
    assert accepting is not None
    assert accepting.is_server


def test_what_has_no_tls_has_no_contexts(authority: Authority) -> None:
    assert load(VMConfig(NET, (NET,), upstream_tls_ca=authority.ca))
    assert not load(VMConfig(UnixAddress("/q"), (NET,)))


def test_only_what_is_needed_to_connect_to_qemu(authority: Authority) -> None:
    lost = Terms(tls_certificate="/nowhere/a.pem")
    vm = VMConfig(NET, (NET,), terms=lost, own_listeners=(Listener(NET, lost),), upstream_tls_ca=authority.ca)
    assert Certificates.of_upstream(vm).upstream is not None


def test_nothing_of_tls_is_imported_where_there_is_none() -> None:
    program = """
import proxy.lean_start, sys
from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.net.certificates import Certificates, load
import proxy.process.daemon
certificates = Certificates(load(VMConfig(UnixAddress("/q"), (UnixAddress("/l"),))))
print(certificates.upstream, [name for name in ("ssl", "_ssl", "host.tls", "proxy.net.tls") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None []\n", "")


def test_listener_with_a_prompt_shows_its_certificate_whatever_is_said_of_qmp(authority: Authority) -> None:
    own = authority.issue("own")
    terms = Terms(tls_certificate=own.certificate, tls_key=own.key, tls_clients=TLSClients.ANY, errors=ErrorStyle.QMP)
    vm = VMConfig(UnixAddress("/q"), hmp_listen=(NET,), terms=terms)
    assert shown(Certificates(load(vm)), vm.terms_at(listener_name(NET))) == Path(own.certificate).read_text()
