"""Each listener has the stream that its terms ask for. What no listener has is not imported."""

from functools import partial

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import Listener, Terms
from proxy.client_streams.choice import MakeStream, stream_makers
from proxy.client_streams.pretty_stream import PrettyStream
from proxy.net.stream import Stream
from tests.support.routing.pure_router import a_monitor, greeting

QEMU = UnixAddress("/qmp")


def test_all_clients_speak_qmp_where_no_listener_has_others() -> None:
    assert stream_makers(VMConfig(QEMU), a_monitor())("unix:/hmp") is Stream


def test_clients_of_one_listener_type_and_those_of_another_do_not() -> None:
    make_stream = stream_makers(VMConfig(QEMU, hmp_listen=(UnixAddress("/hmp"),)), a_monitor())
    assert [make_stream(name) is Stream for name in ("unix:/qmp", "unix:/hmp", None)] == [True, False, True]


def is_pretty(make_stream: MakeStream) -> bool:
    return isinstance(make_stream, partial) and make_stream.func is PrettyStream


def test_clients_of_one_listener_get_the_pretty_form() -> None:
    address = UnixAddress("/pretty")
    config = VMConfig(QEMU, (UnixAddress("/qmp"), address), own_listeners=(Listener(address, Terms(pretty=True)),))
    make_stream = stream_makers(config, a_monitor())
    assert [is_pretty(make_stream(name)) for name in ("unix:/qmp", "unix:/pretty")] == [False, True]


def test_prompt_and_connections_of_our_own_have_no_other_form() -> None:
    """The latter come by no listener."""
    prompt = UnixAddress("/hmp")
    config = VMConfig(QEMU, (UnixAddress("/qmp"),), (prompt,), terms=Terms(pretty=True))
    make_stream = stream_makers(config, a_monitor())
    assert [is_pretty(make_stream(name)) for name in ("unix:/qmp", "unix:/hmp", None)] == [True, False, False]
    assert [make_stream(name) is Stream for name in ("unix:/hmp", None)] == [False, True]


def test_pretty_monitor_of_qemu_writes_as_it_is() -> None:
    config = VMConfig(QEMU, (UnixAddress("/qmp"),), terms=Terms(pretty=True))
    assert stream_makers(config, a_monitor(greeting(pretty=True)))("unix:/qmp") is Stream


def test_clients_of_a_listener_and_a_qemu_follow_each_other() -> None:
    addresses = (UnixAddress("/hmp"), UnixAddress("/other"))
    make_stream = stream_makers(VMConfig(QEMU, hmp_listen=addresses), a_monitor())
    restarted = stream_makers(VMConfig(QEMU, hmp_listen=addresses), a_monitor())
    makers = [*map(make_stream, ("unix:/hmp", "unix:/hmp", "unix:/other")), restarted("unix:/hmp")]
    first, second, other, later = (maker.keywords["succession"] for maker in makers if isinstance(maker, partial))
    assert first is second
    assert other is not first is not later


def test_they_do_so_across_another_configuration() -> None:
    prompt, known = UnixAddress("/hmp"), {}  # type: ignore[var-annotated]
    configs = (VMConfig(QEMU, hmp_listen=(prompt,)), VMConfig(QEMU, (UnixAddress("/qmp"),), (prompt,)))
    makers = [stream_makers(config, a_monitor(), known)("unix:/hmp") for config in configs]
    first, second = (maker.keywords["succession"] for maker in makers if isinstance(maker, partial))
    assert first is second
