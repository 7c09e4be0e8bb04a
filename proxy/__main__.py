"""`hmp-proxy`: the command."""

import asyncio
import contextlib
import logging
import sys

from proxy.audit_log import AuditLog
from proxy.config import Config, parse_command_line
from proxy.errors import ProxyError
from proxy.server import Server

__all__ = ["main"]

# An id may be nested as deep as QEMU allows, 1024 (qobject/json-streamer.c); to spell it takes two frames a level.
_RECURSION_LIMIT = 5000


def main() -> int:
    """Run the proxy and give the exit status that `hmp-proxy --help` lists."""
    sys.setrecursionlimit(_RECURSION_LIMIT)
    config = parse_command_line(sys.argv[1:])
    logging.basicConfig(format="hmp-proxy: %(message)s", level=logging.INFO if config.verbose else logging.WARNING)
    try:
        _run(config)
    except ProxyError as exc:
        logging.getLogger(__name__).error("%s", exc)
        return exc.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def _run(config: Config) -> None:
    with contextlib.ExitStack() as stack:
        audit_log = None
        if config.audit is not None:
            audit_log = AuditLog(config.audit, sync=config.audit_sync)
            stack.callback(audit_log.close)
        asyncio.run(Server(config, audit_log).run())


if __name__ == "__main__":
    sys.exit(main())
