"""Contradictory settings about who may connect, and about TLS; the counterpart of contradictions.py."""

from collections.abc import Iterator

from host.configuration.contradiction import Contradiction, key_of_listener
from host.net.addresses import AcceptAddress, Address, TCPAddress, UnixAddress, is_loopback, plain
from host.settings.admission import asked_of_processes
from host.settings.config import VMConfig
from host.settings.listener import Terms, TLSClients, listener_name

__all__ = ["NEEDS_TLS", "UPSTREAM_NEEDS_TLS", "access_contradictions"]

NEEDS_TLS = (
    "anyone who can reach it from another machine controls the VM; set tls_certificate and tls_client_ca,"
    " or listen on 127.0.0.1 or [::1] only"
)
UPSTREAM_NEEDS_TLS = (
    "anyone who can reach it from another machine can pose as QEMU; set upstream_tls_ca and upstream_tls_certificate,"
    " or accept on 127.0.0.1 or [::1] only"
)
_DEFAULT = Terms()
_OF_TLS = ("tls_key", "tls_client_ca", "tls_clients", "tls_allowed_names")


def access_contradictions(vm: VMConfig) -> Iterator[Contradiction]:
    """Yield all contradictions between settings about who may connect, and about TLS."""
    yield from _of_files(vm.terms)
    for address in vm.listeners:
        terms = vm.terms_at(listener_name(address))
        if terms == vm.terms:
            yield from _of_tcp(vm, address, terms)
        else:
            inherited = {(problem.key, problem.reason) for problem in _of_files(vm.terms)}
            for problem in (*_of_files(terms), *_of_unix(vm, address, terms), *_of_tcp(vm, address, terms)):
                if (problem.key, problem.reason) not in inherited:
                    yield _at_listener(vm, address, problem)
    yield from _of_upstream(vm)


def _at_listener(vm: VMConfig, address: Address, problem: Contradiction) -> Contradiction:
    """Return what is wrong with the terms of one listener as a problem of that."""
    key, at = key_of_listener(vm, address)
    reason = problem.reason if problem.key == key else f"{plain(address)}: {problem.key}: {problem.reason}"
    return Contradiction(key, reason, (problem.key, *problem.others), at)


def _of_files(terms: Terms) -> Iterator[Contradiction]:
    if not terms.tls_certificate:
        for key in _OF_TLS:
            if getattr(terms, key) != getattr(_DEFAULT, key):
                yield Contradiction(key, "it needs tls_certificate, which makes TCP clients use TLS", ("tls_certificate",))
    elif terms.tls_clients is TLSClients.ANY:
        if terms.tls_allowed_names:
            reason = 'with tls_clients "any" no client needs a certificate; drop one of them'
            yield Contradiction("tls_allowed_names", reason, ("tls_clients",))
    elif not terms.tls_client_ca:
        reason = 'clients need certificates, too; set tls_client_ca, or set tls_clients to "any"'
        yield Contradiction("tls_certificate", reason, ("tls_client_ca", "tls_clients"))


def _of_unix(vm: VMConfig, address: Address, terms: Terms) -> Iterator[Contradiction]:
    is_own = terms.tls_certificate and terms.tls_certificate != vm.terms.tls_certificate
    if is_own and isinstance(address, UnixAddress):
        yield Contradiction("tls_certificate", "a unix socket has no TLS; drop this")


def _of_tcp(vm: VMConfig, address: Address, terms: Terms) -> Iterator[Contradiction]:
    if not isinstance(address, TCPAddress):
        return
    key, at = key_of_listener(vm, address)
    for asked in asked_of_processes(terms):
        reason = f"no client's user or program is known at {plain(address)}, on TCP; drop this there"
        at_once = f", by an empty {asked} of that listener" if terms == vm.terms else ""
        yield Contradiction(asked, reason + at_once, (key,))
    if not terms.tls_certificate and is_loopback(address.host) is False:
        yield Contradiction(key, f"{plain(address)}: {NEEDS_TLS}", ("tls_certificate",), at)


def _of_upstream(vm: VMConfig) -> Iterator[Contradiction]:
    files, upstream = vm.upstream_tls, vm.upstream
    is_accepting = isinstance(upstream, AcceptAddress)
    address = upstream.listening if isinstance(upstream, AcceptAddress) else upstream
    if files is None:
        for key in ("upstream_tls_certificate", "upstream_tls_key", "upstream_tls_name"):
            if getattr(vm, key):
                yield Contradiction(key, "it needs upstream_tls_ca", ("upstream_tls_ca",))
        if is_accepting and isinstance(address, TCPAddress) and is_loopback(address.host) is False:
            yield Contradiction("upstream", UPSTREAM_NEEDS_TLS, ("upstream_tls_ca",))
    elif not isinstance(address, TCPAddress):
        reason = f"only a QEMU on TCP has TLS, and this one is at {upstream}; drop this"
        yield Contradiction("upstream_tls_ca", reason, ("upstream",))
    elif is_accepting and not files.certificate:
        reason = "QEMU connects to the proxy, which needs upstream_tls_certificate for that"
        yield Contradiction("upstream_tls_ca", reason, ("upstream", "upstream_tls_certificate"))
    elif files.key and not files.certificate:
        yield Contradiction("upstream_tls_key", "it needs upstream_tls_certificate", ("upstream_tls_certificate",))
