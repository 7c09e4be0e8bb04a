"""A QMP monitor of the modelled QEMU: negotiation, the checks of a request, and its reply.

The texts are QEMU 7.2's (qapi/qmp-dispatch.c, monitor/qmp-cmds-control.c).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.commands import OOB_COMMANDS, check_arguments, run_command
from tests.fakes.jobs import QMPError
from tests.fakes.vm import VM
from tests.fakes.wire import BadInput, spell

__all__ = ["Monitor", "is_oob"]


class Monitor:
    """The monitor as one client has it: each connection starts without negotiation (monitor/qmp.c, CHR_EVENT_OPENED)."""

    def __init__(self, vm: VM, *, capabilities: Sequence[str], pretty: bool) -> None:
        self.is_negotiated = False
        self.has_oob = False
        self._vm = vm
        self._capabilities = capabilities
        self._pretty = pretty

    def reply(self, value: Any) -> bytes:
        """Run a request and give its reply as it goes on the wire."""
        message: dict[str, Any]
        try:
            message = {"return": self._execute(value)}
        except QMPError as exc:
            message = {"error": {"class": exc.error_class, "desc": exc.desc}}
        if isinstance(value, dict) and "id" in value:
            message["id"] = value["id"]
        return spell(message, pretty=self._pretty)

    def _execute(self, value: Any) -> Any:
        name, arguments = check_request(value, has_oob=self.has_oob)
        if name == "qmp_capabilities":
            return self._negotiate(arguments)
        if not self.is_negotiated:
            desc = "Expecting capabilities negotiation with 'qmp_capabilities'"
            raise QMPError(desc, "CommandNotFound")
        if "exec-oob" in value and name not in OOB_COMMANDS:
            raise QMPError(f"The command {name} does not support OOB")
        return run_command(self._vm, name, arguments)

    def _negotiate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self.is_negotiated:
            raise QMPError("Capabilities negotiation is already complete, command ignored", "CommandNotFound")
        check_arguments({"enable": "?strings"}, arguments)
        for capability in arguments.get("enable", []):
            if capability not in self._capabilities:
                raise QMPError(f"Parameter 'null' does not accept value '{capability}'")
        self.has_oob = "oob" in arguments.get("enable", [])
        self.is_negotiated = True
        return {}


def is_oob(value: Any) -> bool:
    """monitor/qmp.c, qmp_is_oob: asked for before anything else is checked."""
    return isinstance(value, dict) and "exec-oob" in value and "execute" not in value


def check_request(value: Any, *, has_oob: bool) -> tuple[str, Mapping[str, Any]]:
    """qapi/qmp-dispatch.c, qmp_dispatch_check_obj: give name and arguments, or raise QMPError."""
    if isinstance(value, BadInput):
        raise QMPError(value.desc)
    if not isinstance(value, dict):
        raise QMPError("QMP input must be a JSON object")
    name, arguments = None, {}
    for key, member in value.items():
        if key == "execute" or (key == "exec-oob" and has_oob):
            name = _checked_name(key, member, name)
        elif key == "arguments":
            if not isinstance(member, dict):
                raise QMPError("QMP input member 'arguments' must be an object")
            arguments = member
        elif key != "id":
            raise QMPError(f"QMP input member '{key}' is unexpected")
    if name is None:
        raise QMPError("QMP input lacks member 'execute'")
    return name, arguments


def _checked_name(key: str, member: Any, earlier: str | None) -> str:
    if not isinstance(member, str):
        raise QMPError(f"QMP input member '{key}' must be a string")
    if earlier is not None:
        raise QMPError("QMP input member 'execute' clashes with 'exec-oob'")
    return member
