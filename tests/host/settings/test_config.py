"""What a VM's configuration says, and where its audit log may be."""

import pytest

from host.net.addresses import Address, SystemdAddress, TCPAddress, UnixAddress
from host.settings.config import (
    CLIENT_BUFFER_MIB,
    AuditFailure,
    AuditSettings,
    VMConfig,
    audit_settings,
    confidential,
    parse_audit_destination,
)
from host.settings.listener import Listener, Terms
from shim.graph.policy import Policy
from shim.records.confidential import Confidential

QEMU = UnixAddress("/run/qmp")
TOOLS = UnixAddress("/run/legacy")
OTHER = UnixAddress("/run/other")


@pytest.mark.parametrize(
    ("config", "listeners"),
    [
        (VMConfig(QEMU, (TOOLS, OTHER)), (TOOLS, OTHER)),
        (VMConfig(QEMU, take_over=QEMU), (QEMU,)),
        (VMConfig(QEMU, (TOOLS,), take_over=QEMU), (TOOLS, QEMU)),
    ],
)
def test_listeners(config: VMConfig, listeners: tuple[Address, ...]) -> None:
    assert config.listeners == listeners


def test_open_listeners_are_those_where_qmp_is_spoken_without_more() -> None:
    """A listener of systemd's has no address that could be connected to."""
    path, tcp = UnixAddress("/run/waits", holds=True), TCPAddress("h", 1)
    closed = Terms(tls_certificate="/c", tls_key="/k", tls_client_ca="/ca")
    own = (Listener(tcp, closed), Listener(OTHER, Terms(telnet=True)), Listener(TOOLS, Terms(pretty=True)))
    listen = (SystemdAddress(), tcp, OTHER, TOOLS, path)
    config = VMConfig(QEMU, listen, hmp_listen=(UnixAddress("/hmp"),), take_over=QEMU, own_listeners=own)
    assert config.open_listeners == (UnixAddress("/run/waits"), QEMU)
    assert VMConfig(QEMU, (tcp,)).open_listeners == (tcp,)


def test_defaults() -> None:
    config = VMConfig(QEMU)
    assert config.policy == Policy()
    assert config.client_buffer_bytes == CLIENT_BUFFER_MIB * 1024 * 1024 == 16 * 1024 * 1024
    assert (config.name, config.audit, config.wait, config.origin) == (None, None, False, None)


# -- the audit log --------------------------------------------------------------------------------------------------------


def test_settings_of_nothing_are_none() -> None:
    assert audit_settings() is None
    assert audit_settings(sync=False, keep=10) is None
    assert audit_settings(destination="-") == AuditSettings("-")
    assert audit_settings(sync=True) == AuditSettings(sync=True)


def test_another_destination_drops_what_only_a_file_can_have() -> None:
    settings = AuditSettings("/log", sync=True, failure=AuditFailure.REFUSE, rotate_bytes=1, rotate_age_s=1, keep=1)
    assert settings.at("syslog:") == AuditSettings("syslog:", failure=AuditFailure.REFUSE)
    other = AuditSettings("/other", sync=True, failure=AuditFailure.REFUSE, rotate_bytes=1, rotate_age_s=1, keep=1)
    assert settings.at("/other") == other


@pytest.mark.parametrize("text", ["/log", "log", "-", "syslog:", "syslog:/dev/log", "syslog"])
def test_places_for_a_log(text: str) -> None:
    assert parse_audit_destination(text) == text


@pytest.mark.parametrize("text", ["", "syslog:log"])
def test_what_is_no_place_for_a_log(text: str) -> None:
    with pytest.raises(ValueError, match=f"invalid log destination '{text}': write a file, - for standard output, syslog: or "):
        parse_audit_destination(text)


@pytest.mark.parametrize("text", ["/a\0", "syslog:/a\0"])
def test_log_at_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid log destination .*: a path cannot contain a NUL character"):
        parse_audit_destination(text)


def test_kinds_of_what_is_confidential() -> None:
    assert confidential([]) == frozenset()
    assert confidential(["tags", "files", "tags"]) == {Confidential.TAGS, Confidential.FILES}
    assert confidential(["tags", "all"]) == frozenset(Confidential)
    with pytest.raises(ValueError, match="nonsense"):
        confidential(["all", "nonsense"])
