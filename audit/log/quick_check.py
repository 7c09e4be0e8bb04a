"""Whether a record can be counted. This is fast because each record is checked; `hmp-audit check` checks everything."""

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Final, TypeAlias

from audit.errors import DamagedLine
from audit.reporting.wording import MOST_MS
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["check_soundness"]

_Kinds: TypeAlias = tuple[tuple[str, tuple[type, ...]], ...]
# How many combinations of types to remember. Real logs have fewer.
_MOST_COMBINATIONS: Final = 500

_NONE: Final = type(None)
_TEXT: Final = (str,)
_TEXT_OR_NONE: Final = (str, _NONE)
_NUMBER: Final = (int, float)
_KINDS: Final[_Kinds] = (
    *((name, _TEXT) for name in ("time", "vm", "action", "reason")),
    *((name, _TEXT_OR_NONE) for name in ("host", "execute", "command_line", "hmp_command", "after_failure")),
    *((name, (list,)) for name in ("nodes", "qmp")),
    *((name, _NUMBER) for name in ("stopped_ms", "duration_ms")),
    ("client", (dict,)),
    ("reply", (dict, _NONE)),
    ("failed", (bool, _NONE)),
    ("lost_before", (int,)),
    ("repeated", (int,)),
    ("housekeeping", (bool,)),
)
_CLIENT_KINDS: Final[_Kinds] = (
    *((name, _TEXT_OR_NONE) for name in ("exe", "address", "user", "tool", "unit", "container")),
    ("uid", (int, _NONE)),
    ("prompt", (bool,)),
    ("argv", (list,)),
    ("parent", (dict, _NONE)),
)
_NODE_KINDS: Final[_Kinds] = (("node", _TEXT), ("device", _TEXT_OR_NONE), ("included", (bool,)), ("reason", _TEXT))
_REHEARSED_KINDS: Final[_Kinds] = (("outcome", _TEXT), ("text", _TEXT_OR_NONE), ("agreed", (bool, _NONE)))
_VMSTATE_KINDS: Final[_Kinds] = (("node", _TEXT_OR_NONE), ("reason", _TEXT))
# More records than a disk could hold.
_MOST_RECORDS: Final = 1e12
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_ACTIONS: Final = frozenset(action.value for action in Action)
# As records spell them, because comparing with a member of an Enum takes three times as long.
_RECOVERED, _OBSERVED, _WENT_ON = Action.RECOVERED.value, Action.OBSERVED.value, Action.WENT_ON.value


def _getter(kinds: _Kinds) -> Callable[[JSON], tuple[JSON, ...]]:
    return itemgetter(*(name for name, _ in kinds))


_of_record: Final = _getter(_KINDS)
_of_client: Final = _getter(_CLIENT_KINDS)
# Records have few combinations of member types; those that were found valid are remembered here.
_right: Final[set[tuple[type, ...]]] = set()


def check_soundness(record: dict[str, JSON]) -> None:
    """Check that the members that are counted exist and have the right types. Raises DamagedLine."""
    try:
        found = tuple(map(type, _of_record(record) + _of_client(record["client"])))
    except (KeyError, TypeError, IndexError):
        found = ()
    if found not in _right:
        _check(record, _KINDS)
        _check(record["client"], _CLIENT_KINDS)
        if len(_right) < _MOST_COMBINATIONS:
            _right.add(found)
    action = record["action"]
    if action not in _ACTIONS:
        raise DamagedLine(f"its action {action!r} is not known")
    if not _TIME.fullmatch(record["time"]):
        raise DamagedLine(f"its time {record['time']!r} is not a time")
    if record["execute"] is None and action != _RECOVERED:
        raise DamagedLine("it names no command")
    # json.loads accepts NaN and Infinity, which are not JSON, and numbers of any length.
    if not (0 <= record["stopped_ms"] <= MOST_MS and 0 <= record["duration_ms"] <= MOST_MS):
        raise DamagedLine("one of its durations is not a duration")
    lost, repeated = record["lost_before"], record["repeated"]
    if (lost or repeated) and not (0 <= lost <= _MOST_RECORDS and 0 <= repeated <= _MOST_RECORDS):
        raise DamagedLine("one of its numbers of records is not a number")
    # What was sent for other commands does not matter.
    if record["hmp_command"] == "savevm":
        _check_sent(record["qmp"])
    if record["failed"]:
        _check_failure(record)
    if action == _WENT_ON and record["after_failure"] is None:
        raise DamagedLine("it names no failure that it came after")
    if action == _OBSERVED and record.get("rehearsed") is not None:
        _check_rehearsal(record)


def _check(members: JSON, kinds: _Kinds) -> None:
    try:
        for name, kind in kinds:
            if type(members[name]) not in kind:
                raise DamagedLine(f"its {name} is not of the right type")
    except (KeyError, TypeError, IndexError) as exc:
        raise DamagedLine(f"it lacks {name}") from exc


def _check_sent(qmp: list[JSON]) -> None:
    try:
        kinds = {type(sent["execute"]) for sent in qmp}
    except (KeyError, TypeError, IndexError) as exc:
        raise DamagedLine("one of its qmp lacks execute") from exc
    if not kinds <= {str}:
        raise DamagedLine("an execute of its qmp is not of the right type")


def _check_failure(record: dict[str, JSON]) -> None:
    for node in record["nodes"]:
        _check(node, _NODE_KINDS)
    match record["reply"]:
        case {"error": {"desc": str()}} | {"return": str()}:
            return
    raise DamagedLine("it failed, and no text says why")


def _check_rehearsal(record: dict[str, JSON]) -> None:
    _check(record["rehearsed"], _REHEARSED_KINDS)
    for node in record["nodes"]:
        _check(node, _NODE_KINDS)
    if record.get("vmstate") is not None:
        _check(record["vmstate"], _VMSTATE_KINDS)
