"""HMP's prompt is imported only where a listener has clients for it."""

from dataclasses import replace

from host.addresses import UnixAddress
from host.config import VMConfig
from host.listener import Listener, Terms
from proxy.client_streams import stream_makers
from proxy.net.stream import Stream
from tests.support.pure_router import a_monitor

CONFIG = VMConfig(UnixAddress("/qmp"))
HUMAN = Terms(is_human=True)


def test_all_clients_speak_qmp_where_no_listener_has_others() -> None:
    assert stream_makers(CONFIG, a_monitor())(Terms()) is Stream


def test_clients_of_one_listener_type_and_those_of_another_do_not() -> None:
    config = replace(CONFIG, own_listeners=(Listener(UnixAddress("/hmp"), HUMAN),))
    make_stream = stream_makers(config, a_monitor())
    assert (make_stream(Terms()) is Stream, make_stream(HUMAN) is Stream) == (True, False)
