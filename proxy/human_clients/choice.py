"""Which kind of stream a client has: of QMP, or of HMP's prompt, which is imported only where a listener has one."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from host.config import VMConfig
from proxy.net.stream import Stream
from proxy.qmp_json.messages import format_of
from proxy.sessions.monitor import Monitor

__all__ = ["MakeStream", "stream_makers"]

# It is called as Stream is.
MakeStream: TypeAlias = Callable[..., Stream]


def stream_makers(config: VMConfig, monitor: Monitor) -> Callable[[str | None], MakeStream]:
    """Return what tells how the stream of a client is made, by the name of its listener."""
    if not config.hmp_listen:
        return lambda _: Stream
    from proxy.human_clients.human_stream import HumanStream  # here, because a start is quicker without it
    from proxy.human_monitor.monitor_state import MonitorState

    def make_stream(listener: str | None) -> MakeStream:
        if not config.has_prompt(listener):
            return Stream
        return partial(HumanStream, state=MonitorState(monitor.version), monitor_format=format_of(monitor.greeting))

    return make_stream
