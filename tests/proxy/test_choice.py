"""HMP's prompt is imported only where a listener has clients for it."""

from host.addresses import UnixAddress
from host.config import VMConfig
from proxy.human_clients.choice import stream_makers
from proxy.net.stream import Stream
from tests.support.pure_router import a_monitor

QEMU = UnixAddress("/qmp")


def test_all_clients_speak_qmp_where_no_listener_has_others() -> None:
    assert stream_makers(VMConfig(QEMU), a_monitor())("unix:/hmp") is Stream


def test_clients_of_one_listener_type_and_those_of_another_do_not() -> None:
    make_stream = stream_makers(VMConfig(QEMU, hmp_listen=(UnixAddress("/hmp"),)), a_monitor())
    assert [make_stream(name) is Stream for name in ("unix:/qmp", "unix:/hmp", None)] == [True, False, True]
