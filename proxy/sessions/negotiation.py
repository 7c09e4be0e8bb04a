"""QEMU's checks of a command's envelope and of `qmp_capabilities`, with its texts (qapi/qmp-dispatch.c, qapi/control.json).

Each client negotiates with the proxy, because the one negotiation that QEMU knows is over before the first client comes; OOB is
then enabled if QEMU offers it. So the proxy has to answer as QEMU would when a client sends a command before
`qmp_capabilities`, or asks for a capability that is not offered. Texts differ between versions only where the functions below
say so. What is wrong with a command of a negotiated client, QEMU says itself.
"""

from proxy.qmp_json.messages import generic_error
from proxy.sessions.monitor import Monitor
from shim.qmp import JSON

__all__ = ["capabilities_error", "envelope_error", "is_out_of_band", "refusal"]


# Checked before the envelope, as in QEMU, because this decides which queue a command is put into.
def is_out_of_band(message: dict[str, JSON]) -> bool:
    """Return whether a command of a client that enabled OOB is to overtake. One with both keys is an in-band error."""
    return "exec-oob" in message and "execute" not in message


def envelope_error(message: dict[str, JSON]) -> str | None:
    """Return what QEMU says is wrong with a command of a client without OOB; None if nothing is."""
    for key, value in message.items():
        if key == "execute":
            if not isinstance(value, str):
                return "QMP input member 'execute' must be a string"
        elif key == "arguments":
            if not isinstance(value, dict):
                return "QMP input member 'arguments' must be an object"
        elif key != "id":
            return f"QMP input member '{key}' is unexpected"
    return None if "execute" in message else "QMP input lacks member 'execute'"


def capabilities_error(arguments: dict[str, JSON], monitor: Monitor) -> str | None:
    """Return what QEMU says is wrong with the arguments of `qmp_capabilities`; None if nothing is."""
    enable = arguments.get("enable", [])
    if not isinstance(enable, list):
        return "Invalid parameter type for 'enable', expected: array"
    for number, capability in enumerate(enable):
        if not isinstance(capability, str):
            return f"Invalid parameter type for 'enable[{number}]', expected: string"
        if capability != "oob":
            if monitor.version < (6, 0):
                return f"Invalid parameter '{capability}'"
            # QEMU 7.2 to 11.1 name the list's element "null" here.
            return f"Parameter 'null' does not accept value '{capability}'"
    unexpected = next((key for key in arguments if key != "enable"), None)
    if unexpected is not None:
        return f"Parameter '{unexpected}' is unexpected"
    return f"Capability {', '.join(enable)} not available" if enable and not monitor.offers_oob else None


def refusal(message: dict[str, JSON], monitor: Monitor) -> dict[str, JSON] | None:
    """Return QEMU's reply to a client that has not negotiated; None for a `qmp_capabilities` that succeeds."""
    desc = envelope_error(message)
    if desc is None and message["execute"] != "qmp_capabilities":
        desc = "Expecting capabilities negotiation with 'qmp_capabilities'"
        return {"error": {"class": "CommandNotFound", "desc": desc}}
    desc = desc or capabilities_error(message.get("arguments", {}), monitor)
    return None if desc is None else generic_error(desc)
