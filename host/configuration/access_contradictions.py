"""Contradictory settings about who may connect, and about TLS; the counterpart of contradictions.py."""

from host.net.addresses import AcceptAddress, Address, TCPAddress, UnixAddress, is_loopback, plain
from host.settings.admission import asked_of_processes
from host.settings.config import VMConfig
from host.settings.listener import Terms, TLSClients, listener_name

__all__ = ["NEEDS_TLS", "UPSTREAM_NEEDS_TLS", "contradiction_of_access"]

NEEDS_TLS = (
    "anyone who can reach it from another machine controls the VM; set tls_certificate and tls_client_ca,"
    " or listen on 127.0.0.1 or [::1] only"
)
UPSTREAM_NEEDS_TLS = (
    "anyone who can reach it from another machine can pose as QEMU; set upstream_tls_ca and upstream_tls_certificate,"
    " or accept on 127.0.0.1 or [::1] only"
)
_OF_TLS = ("tls_key", "tls_client_ca", "tls_clients", "tls_allowed_names")


def contradiction_of_access(vm: VMConfig) -> tuple[str, str] | None:
    """Return the first contradiction between settings: the key of one, and what would be right. None if there is none."""
    return _of_terms(vm) or _of_upstream(vm)


def _of_terms(vm: VMConfig) -> tuple[str, str] | None:
    """Report a key of the VM by its name; a key of a single listener is reported under `listen`."""
    if (problem := _of_files(vm.terms)) is not None:
        return problem
    for address in vm.listeners:
        terms = vm.terms_at(listener_name(address))
        problem = _of_files(terms) or _of_unix(vm, address, terms) or _of_tcp(vm, address, terms)
        if problem is not None:
            key, reason = problem
            return problem if terms == vm.terms else ("listen", f"{plain(address)}: {key}: {reason}")
    return None


def _of_files(terms: Terms) -> tuple[str, str] | None:
    if not terms.tls_certificate:
        said = [key for key in _OF_TLS if getattr(terms, key) != getattr(Terms(), key)]
        return (said[0], "it needs tls_certificate, which makes TCP clients use TLS") if said else None
    if terms.tls_clients is TLSClients.ANY:
        reason = 'with tls_clients "any" no client needs a certificate; drop one of them'
        return ("tls_allowed_names", reason) if terms.tls_allowed_names else None
    if not terms.tls_client_ca:
        reason = 'clients need certificates, too; set tls_client_ca, or set tls_clients to "any"'
        return "tls_certificate", reason
    return None


def _of_unix(vm: VMConfig, address: Address, terms: Terms) -> tuple[str, str] | None:
    is_own = terms.tls_certificate and terms.tls_certificate != vm.terms.tls_certificate
    if is_own and isinstance(address, UnixAddress):
        return "tls_certificate", "a unix socket has no TLS; drop this"
    return None


def _of_tcp(vm: VMConfig, address: Address, terms: Terms) -> tuple[str, str] | None:
    if not isinstance(address, TCPAddress):
        return None
    if asked := asked_of_processes(terms):
        reason = f"no client's user or program is known at {plain(address)}, on TCP; drop this there"
        return asked[0], f"{reason}, by an empty {asked[0]} of that listener" if terms == vm.terms else reason
    if not terms.tls_certificate and is_loopback(address.host) is False:
        return "listen", f"{plain(address)}: {NEEDS_TLS}"
    return None


def _of_upstream(vm: VMConfig) -> tuple[str, str] | None:
    files, upstream = vm.upstream_tls, vm.upstream
    is_accepting = isinstance(upstream, AcceptAddress)
    address = upstream.listening if isinstance(upstream, AcceptAddress) else upstream
    if files is None:
        for key in ("upstream_tls_certificate", "upstream_tls_key", "upstream_tls_name"):
            if getattr(vm, key):
                return key, "it needs upstream_tls_ca"
        if is_accepting and isinstance(address, TCPAddress) and is_loopback(address.host) is False:
            return "upstream", UPSTREAM_NEEDS_TLS
    elif not isinstance(address, TCPAddress):
        return "upstream_tls_ca", f"only a QEMU on TCP has TLS, and this one is at {upstream}; drop this"
    elif is_accepting and not files.certificate:
        return "upstream_tls_ca", "QEMU connects to the proxy, which needs upstream_tls_certificate for that"
    elif files.key and not files.certificate:
        return "upstream_tls_key", "it needs upstream_tls_certificate"
    return None
