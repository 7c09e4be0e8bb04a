"""One line of a log as a record of today's schema, whatever version wrote it."""

import json
from typing import Final

from audit.errors import DamagedLine
from shim.hmp.line import HMPLine
from shim.printable import printable
from shim.qmp import JSON
from shim.records.audit import has_failed
from shim.records.audit_form import SCHEMA_VERSION

__all__ = ["decode", "is_like_a_record", "modernize", "read_record"]

# How a record begins. If a syslog daemon wrote the line, time, host and program come before it.
_BEGIN: Final = b'{"schema":'
_LINE_ENDS: Final = frozenset({"\n", "", "\r\n"})
# json.JSONDecodeError's msg where something stands after a whole object.
_TOO_MUCH: Final = "Extra data"
_decoder: Final = json.JSONDecoder()


def read_record(line: bytes) -> dict[str, JSON]:
    """Return the record in a line, which may have a syslog header, in today's schema. Raises DamagedLine.

    Only the basics are checked: that it is a JSON object of a known version.
    """
    record = decode(line)
    return record if record["schema"] == SCHEMA_VERSION else modernize(record)


def is_like_a_record(line: bytes) -> bool:
    """Return whether a line may have been a record before it was damaged."""
    return _BEGIN in line


def decode(line: bytes) -> dict[str, JSON]:
    """Return the record in a line as it was written, in any known version. Raises DamagedLine as `read_record` does."""
    begin = 0 if line.startswith(b"{") else line.find(_BEGIN)
    if begin < 0:
        raise DamagedLine("it is not JSON" if line.strip() else "it is blank")
    try:
        # Text that begins with a brace is an object or invalid. json.loads would first guess the encoding, which takes a third
        # as long as the rest, so it is called only to report what follows the object.
        text = (line[begin:] if begin else line).decode("utf-8", "surrogatepass")
        record: dict[str, JSON]
        record, end = _decoder.raw_decode(text)
        if text[end:] not in _LINE_ENDS:
            record = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise DamagedLine("it is cut off: its end is missing" if _is_cut_off(line, exc) else f"it is not JSON: {exc}") from exc
    if "schema" not in record:
        raise DamagedLine("it has no schema")
    version = record["schema"]
    # In Python, True and 1.0 equal 1.
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        shown = "not a number" if isinstance(version, dict | list) else printable(f"{version!r:.40}")
        raise DamagedLine(f"its schema is {shown}, and the newest that is known here is {SCHEMA_VERSION}")
    return record


def _is_cut_off(line: bytes, why: Exception) -> bool:
    """Tell of a line that is not JSON whether only its end is missing, as after a crash or behind a syslog daemon's limit."""
    is_begun = is_like_a_record(line) or _BEGIN.startswith(line.rstrip())
    if not is_begun or not isinstance(why, ValueError):
        return False
    if not isinstance(why, json.JSONDecodeError):
        return not line.rstrip().endswith(b"}")
    text = why.doc.rstrip()
    return why.msg != _TOO_MUCH and (why.pos >= len(text) or not text.endswith("}"))


def modernize(record: dict[str, JSON]) -> dict[str, JSON]:
    """Return a record in today's schema."""
    version = record["schema"]
    if version == SCHEMA_VERSION:
        return record
    modern = _ADDED_SINCE_VERSION_2 | (record if version > 1 else _of_version_1(record))
    if isinstance(client := record.get("client"), dict):
        modern["client"] = {"connected_as": None} | client | _CLIENT_OF_EARLIER
    return modern


# The values of members that records of earlier versions lack.
_ADDED_SINCE_VERSION_2: Final[dict[str, JSON]] = {"repeated": 0, "housekeeping": False, "cut": []}
_CLIENT_OF_EARLIER: Final[dict[str, JSON]] = {
    **dict.fromkeys(("user", "tool", "unit", "container", "parent")),
    "argv": [],
    "prompt": False,
}


def _of_version_1(record: dict[str, JSON]) -> dict[str, JSON]:
    """Add what version 2 has and version 1 lacks, worked out from the rest of the record."""
    command_line, reply = record.get("command_line"), record.get("reply")
    line = HMPLine.read(command_line) if isinstance(command_line, str) else None
    text = reply.get("return") if isinstance(reply, dict) else None
    failed = None if not isinstance(reply, dict) else "error" in reply
    if line is not None and isinstance(text, str):
        failed = has_failed(line, text)
    return record | {
        "host": None,
        "execute": None if record.get("action") == "recovered" else "human-monitor-command",
        "hmp_command": None if line is None else line.full_name,
        "failed": failed,
        "after_failure": None,
        "lost_before": 0,
    }
