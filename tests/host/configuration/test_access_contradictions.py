"""Which wishes about who may connect, and about TLS, contradict each other."""

from typing import Any

import pytest

from host.configuration.access_contradictions import NEEDS_TLS, UPSTREAM_NEEDS_TLS, access_contradictions
from host.net.addresses import AcceptAddress, Address, DescriptorAddress, SystemdAddress, TCPAddress, UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import Listener, Terms, TLSClients

QEMU = UnixAddress("/q")
TOOLS = UnixAddress("/l")
NET = TCPAddress("127.0.0.1", 4444, holds=True)
WORLD = TCPAddress("0.0.0.0", 4444)
FAR = TCPAddress("192.0.2.1", 4444)
ROOT_ONLY = Terms(allow_users=frozenset({0}))
UNKNOWN = "no client's user or program is known at tcp:127.0.0.1:4444, on TCP; drop this there"
TLS = Terms(tls_certificate="/c", tls_client_ca="/ca")
ANY = Terms(tls_certificate="/c", tls_clients=TLSClients.ANY)
NEEDS_CERTIFICATE = "it needs tls_certificate, which makes TCP clients use TLS"
NEEDS_CA = 'clients need certificates, too; set tls_client_ca, or set tls_clients to "any"'


def vm(*addresses: Address, **members: Any) -> VMConfig:
    return VMConfig(members.pop("upstream", QEMU), addresses, **members)


def own(address: Address, terms: Terms) -> tuple[Listener, ...]:
    return (Listener(address, terms),)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (vm(TOOLS, NET, terms=ROOT_ONLY), ("allow_users", f"{UNKNOWN}, by an empty allow_users of that listener")),
        (vm(TOOLS, NET, own_listeners=own(NET, ROOT_ONLY)), ("listen", f"tcp:127.0.0.1:4444: allow_users: {UNKNOWN}")),
        (vm(TOOLS, WORLD), ("listen", f"tcp:0.0.0.0:4444: {NEEDS_TLS}")),
        (vm(TCPAddress("::", 1)), ("listen", f"tcp:[::]:1: {NEEDS_TLS}")),
        (vm(FAR), ("listen", f"tcp:192.0.2.1:4444: {NEEDS_TLS}")),
        (vm(FAR, own_listeners=own(FAR, ANY), terms=Terms(tls_key="/k")), ("tls_key", NEEDS_CERTIFICATE)),
        (vm(NET, terms=Terms(tls_client_ca="/ca")), ("tls_client_ca", NEEDS_CERTIFICATE)),
        (vm(NET, terms=Terms(tls_clients=TLSClients.ANY)), ("tls_clients", NEEDS_CERTIFICATE)),
        (vm(NET, terms=Terms(tls_allowed_names=frozenset({"a"}))), ("tls_allowed_names", NEEDS_CERTIFICATE)),
        (vm(NET, terms=Terms(tls_certificate="/c")), ("tls_certificate", NEEDS_CA)),
        (
            vm(NET, own_listeners=own(NET, Terms(tls_certificate="/c"))),
            ("listen", f"tcp:127.0.0.1:4444: tls_certificate: {NEEDS_CA}"),
        ),
        (
            vm(NET, terms=Terms(tls_certificate="/c", tls_clients=TLSClients.ANY, tls_allowed_names=frozenset({"a"}))),
            ("tls_allowed_names", 'with tls_clients "any" no client needs a certificate; drop one of them'),
        ),
        (
            vm(TOOLS, own_listeners=own(TOOLS, TLS)),
            ("listen", "unix:/l: tls_certificate: a unix socket has no TLS; drop this"),
        ),
        (vm(TOOLS, upstream_tls_name="n"), ("upstream_tls_name", "it needs upstream_tls_ca")),
        (vm(TOOLS, upstream_tls_certificate="n"), ("upstream_tls_certificate", "it needs upstream_tls_ca")),
        (
            vm(TOOLS, upstream_tls_ca="/ca"),
            ("upstream_tls_ca", "only a QEMU on TCP has TLS, and this one is at unix:/q; drop this"),
        ),
        (
            vm(TOOLS, upstream=NET, upstream_tls_ca="/ca", upstream_tls_key="/k"),
            ("upstream_tls_key", "it needs upstream_tls_certificate"),
        ),
        (
            vm(TOOLS, upstream=AcceptAddress(NET), upstream_tls_ca="/ca"),
            ("upstream_tls_ca", "QEMU connects to the proxy, which needs upstream_tls_certificate for that"),
        ),
        (vm(TOOLS, upstream=AcceptAddress(WORLD)), ("upstream", UPSTREAM_NEEDS_TLS)),
    ],
)
def test_contradictions(config: VMConfig, problem: tuple[str, str]) -> None:
    first = next(access_contradictions(config))
    assert (first.key, first.reason) == problem


@pytest.mark.parametrize(
    "config",
    [
        vm(TOOLS, NET, terms=ROOT_ONLY, own_listeners=own(NET, Terms())),
        vm(TOOLS, NET, own_listeners=own(TOOLS, ROOT_ONLY)),
        # What is inherited is looked at when it is there, and a name when it is resolved.
        vm(DescriptorAddress(3), SystemdAddress(), terms=ROOT_ONLY),
        vm(TCPAddress("host.example", 1)),
        # What is set for the VM is for those of its listeners that can have it.
        vm(TOOLS, FAR, terms=TLS),
        vm(TOOLS, terms=ANY),
        vm(FAR, terms=ANY, own_listeners=own(FAR, TLS)),
        vm(FAR, terms=Terms(tls_certificate="/c", tls_client_ca="/ca", tls_clients=TLSClients.ANY)),
        vm(TOOLS, upstream=FAR),
        vm(TOOLS, upstream=FAR, upstream_tls_ca="/ca", upstream_tls_name="n"),
        vm(TOOLS, upstream=FAR, upstream_tls_ca="/ca", upstream_tls_certificate="/c", upstream_tls_key="/k"),
        vm(TOOLS, upstream=AcceptAddress(WORLD), upstream_tls_ca="/ca", upstream_tls_certificate="/c"),
        vm(TOOLS, upstream=AcceptAddress(NET)),
        vm(TOOLS, upstream=AcceptAddress(TCPAddress("host.example", 1))),
        vm(TOOLS, upstream=AcceptAddress(UnixAddress("/a"))),
    ],
)
def test_what_goes_together(config: VMConfig) -> None:
    assert list(access_contradictions(config)) == []
