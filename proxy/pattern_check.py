"""Check, at the start and when the configuration is read again, that every pattern of the policy matches something of the VM's.

A pattern that does not may be a typing error, or mean a disk that is plugged in later. So it is a warning, unless the
configuration is strict. The first savevm would be too late to find out: with a typing error in `exclude` it saves a disk that
was to be left out, and `loadvm` then throws away what is on it.
"""

from functools import partial
from typing import Final

from host.errors import ConfigError
from host.settings.config import VMConfig
from proxy.beside import in_time
from proxy.net.qmp_connection import QMPConnection
from shim.graph.blockgraph import GRAPH_QUERIES, BlockGraph, seen_graph
from shim.graph.patterns import Pattern
from shim.graph.selection import select, unmatched, why_unmatched

__all__ = ["check_patterns"]

# For looking up the line of a complaint.
_WITHIN_S: Final = 2.0


async def check_patterns(connection: QMPConnection, config: VMConfig) -> list[ConfigError]:
    """Return a complaint for each pattern that matches nothing: where the pattern is, why it has no effect, and what there is.

    The disks that are excluded now are noted, so that a warning is logged if one comes back under another name. Raises the
    first complaint if the configuration is strict.
    """
    policy = config.policy
    if not policy.patterns:
        return []
    graph = await _graph(connection)
    # QEMU does not have these queries, or is in preconfig. A start must not fail for that: the first command will say why.
    if graph is None:
        return []
    select(graph, policy)
    complaints = [await _complaint(config, pattern, graph) for pattern in unmatched(policy, graph)]
    if complaints and config.is_strict:
        raise complaints[0]
    return complaints


async def _complaint(config: VMConfig, pattern: Pattern, graph: BlockGraph) -> ConfigError:
    key = next(key for key in ("vmstate", "include", "exclude") if pattern in getattr(config.policy, key))
    reason = why_unmatched(pattern, graph)
    if config.origin is None:
        return ConfigError("command line", 0, f"--{key}", reason)
    from host.configuration.config_file import error_at  # here, because it loads TOML, as a file does

    try:
        return await in_time(partial(error_at, config.origin, key, reason), _WITHIN_S)
    except TimeoutError:  # the file's disk is stuck
        return ConfigError(config.origin.path, 0, key, reason)


async def _graph(connection: QMPConnection) -> BlockGraph | None:
    return seen_graph(await connection.execute(GRAPH_QUERIES), connection.monitor.version)
