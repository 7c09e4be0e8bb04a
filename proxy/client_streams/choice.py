"""Choose a client's kind of stream: QMP, in either form, or HMP's prompt. Kinds that no listener uses are not imported."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from host.settings.config import VMConfig
from host.settings.listener import listener_name
from proxy.net.stream import Stream
from proxy.qmp_json.messages import format_of
from proxy.sessions.monitor import Monitor

if TYPE_CHECKING:
    from proxy.human_clients.succession import Succession

__all__ = ["MakeStream", "Successions", "stream_makers"]

# Called with the same arguments as Stream.
MakeStream: TypeAlias = Callable[..., Stream]
# By listener, what a prompt's client leaves to the next one.
Successions: TypeAlias = "dict[str | None, Succession]"


def stream_makers(
    config: VMConfig, monitor: Monitor, successions: "Successions | None" = None
) -> Callable[[str | None], MakeStream]:
    """Return a function from a listener's name to the function that makes its clients' streams.

    successions: outlive a configuration; new ones are added to it.
    """
    of_qmp = _makers_of_qmp(config, monitor)
    if not config.hmp_listen:
        return of_qmp
    from proxy.human_clients.human_stream import HumanStream  # here, because a start is quicker without it
    from proxy.human_clients.succession import Succession

    known = {} if successions is None else successions

    def make_stream(listener: str | None) -> MakeStream:
        if not config.has_prompt(listener):
            return of_qmp(listener)
        succession = known.setdefault(listener, Succession(monitor.version))
        return partial(HumanStream, succession=succession, monitor_format=format_of(monitor.greeting))

    return make_stream


def _makers_of_qmp(config: VMConfig, monitor: Monitor) -> Callable[[str | None], MakeStream]:
    pretty = {name for name in map(listener_name, config.listeners) if config.terms_at(name).pretty}
    if not pretty or format_of(monitor.greeting).is_pretty:
        return lambda _: Stream
    from proxy.client_streams.pretty_stream import PrettyStream  # here, because a start is quicker without it

    make_pretty_stream = partial(PrettyStream, most_unsent_bytes=config.client_buffer_bytes)
    return lambda listener: make_pretty_stream if listener in pretty else Stream
