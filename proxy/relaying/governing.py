"""Make and change the dispatcher of one connection from the VM's settings and from what outlasts its connections."""

from host.settings.config import VMConfig
from proxy.qmp_json.limits import Limits
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.lasting import Lasting
from proxy.routing.dispatcher import Dispatcher
from proxy.sessions.limits import SessionLimits
from proxy.sessions.monitor import Clock, Monitor

__all__ = ["change", "dispatcher_of", "limits_of"]


def dispatcher_of(monitor: Monitor, config: VMConfig, lasting: Lasting, clock: Clock) -> Dispatcher:
    """Return a dispatcher for a new connection."""
    return Dispatcher(
        monitor,
        config.policy,
        clock,
        new_id=lasting.new_id,
        own_prefix=lasting.own_prefix,
        announces=lasting.audit is not None and lasting.audit.refuses,
        turns=lasting.turns,
        limits=limits_of(config),
        permissions=config.permissions,
        history=lasting.standing.history,
    )


def change(dispatcher: Dispatcher, monitor: Monitor, config: VMConfig, audit: AuditWriter | None) -> None:
    """Have a dispatcher use another configuration from now on. For the limits see `Clients.change`.

    audit: the log to be used from now on, None for none; it decides whether commands are announced before they run.
    """
    dispatcher.set_policy(config.policy, config.permissions)
    dispatcher.recorder.vm = config.name or monitor.unnamed or monitor.vm
    dispatcher.recorder.announces = audit is not None and audit.refuses


def limits_of(config: VMConfig) -> SessionLimits:
    """Return how much one client of a VM may want at a time."""
    value = Limits(token_bytes=config.max_command_bytes, nesting=config.max_command_nesting)
    return SessionLimits(value, config.client_commands)
