"""At start: does every pattern of the policy name a block node that the VM has?"""

from host.config import VMConfig
from host.config_file import error_at
from host.errors import ConfigError
from proxy.conversation import Conversation
from shim.blockgraph import BlockGraph, read_graph
from shim.errors import UnreadableReply
from shim.policy import unmatched
from shim.qmp import Execute, ReturnReply

__all__ = ["check_patterns"]

_QUERIES = (
    Execute("query-block"),
    Execute("query-named-block-nodes", {"flat": True}),
    Execute("x-debug-query-block-graph"),
)


async def check_patterns(conversation: Conversation, config: VMConfig) -> None:
    """Raise ConfigError for a pattern that matches nothing, with where it stands and what there is."""
    policy = config.policy
    if not policy.patterns:
        return
    graph = await _graph(conversation)
    if graph is None:
        return  # QEMU does not tell; a command will say so
    lost = unmatched(policy, graph)
    if not lost:
        return
    key = next(key for key in ("vmstate", "include", "exclude") if lost[0] in getattr(policy, key))
    there = ", ".join(sorted({node.label for node in graph.nodes.values()}))
    reason = f"'{lost[0]}' matches no block node of the VM, which has {there or 'none'}"
    if config.origin is None:
        raise ConfigError("command line", 0, f"--{key}", reason)
    raise error_at(config.origin, key, reason)


async def _graph(conversation: Conversation) -> BlockGraph | None:
    replies = await conversation.execute(_QUERIES)
    values = [reply.value for reply in replies if isinstance(reply, ReturnReply)]
    if len(values) < len(_QUERIES):
        return None
    try:
        return read_graph(*values, version=conversation.monitor.version)
    except UnreadableReply:
        return None
