"""What can be at which position of an HMP command.

QEMU's help says most of it: where a block device goes, and which alternatives there are. What help does not say is in a table
here, by the names in QEMU's own tables (hmp-commands.hx).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from repl.completing.hmp_words import read_forms
from repl.completing.key_values import KEY_VALUES, suggest_key_value
from repl.completing.names import ON_OFF, Look, Suggestion, matching, matching_word, named, split_words
from repl.completing.questions import Kind, Question, folder_of
from repl.completing.vm_names import block_devices, deletable, drives, jobs, netdevs, objects, qom_paths, removable
from repl.completion_data import CommandHelp, CompletionData, Named

__all__ = ["suggest_arguments"]

_ALTERNATIVES = re.compile(r"[\w-]+(\|[\w-]+)*")
# Commands whose `device` in help is not a block device.
_OTHER_DEVICES = frozenset({"gdbserver", "ringbuf_read", "ringbuf_write", "screendump"})
# The log item that names a trace event.
_TRACE = "trace:"
# Commands that take a block device by its name only, and not by that of its node.
_DRIVES_ONLY = frozenset({"block_resize", "block_set_io_throttle", "commit", "drive_backup", "drive_mirror", "snapshot_blkdev"})

# Arguments: what is known, what can be asked, the words before, and the word at the cursor.
_Names: TypeAlias = Callable[[CompletionData, Look, Sequence[str], str], Iterable[Named]]


def suggest_arguments(command: CommandHelp, name: str, rest: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete the last word. name: the command's, preceded by `info` for a topic of info."""
    words = split_words(rest)
    if words is None:
        return []
    forms = read_forms(command)
    *before, current = words
    at = forms.position(before)
    if at is None:
        return []
    if forms.options and current.startswith("-"):
        return matching(current, named((one for one in forms.options if one not in before), "option"))
    if name in KEY_VALUES and at == _KEY_VALUE_PLACES.get(name, 0):
        return suggest_key_value(name, current, facts, look)
    own = forms.positional(before)
    if name == "log" and at == 0:
        return _suggest_log_item(current, look)
    if name == "sendkey" and at == 0:
        return matching(current.rpartition("-")[2], _keys(facts, look, own, current))
    places = _PLACES.get(name)
    if places is not None and at < len(places):
        return matching_word(current, places[at](facts, look, own, current))
    told = forms.positions[at : at + 1]
    return [one for position in told for one in matching_word(current, _choices(position, command.name, facts, look))]


def _suggest_log_item(word: str, look: Look) -> list[Suggestion]:
    """Complete the last of the items, which commas separate."""
    *before, current = word.split(",")
    items = [one for one in look(Question(Kind.LOG_ITEMS)) if one.name not in before]
    if current.startswith(_TRACE):
        items = [Named(f"{_TRACE}{one.name}", one.meta) for one in look(Question(Kind.TRACE_EVENTS))]
    return matching(current, items)


def _choices(position: str, command: str, facts: CompletionData, look: Look) -> list[Named]:
    """Return what one argument can be, given how help writes it: `device`, `device|all`, `on|off`."""
    if not _ALTERNATIVES.fullmatch(position):
        return []
    choices: list[Named] = []
    alternatives = position.split("|")
    for alternative in alternatives:
        if alternative == "device" and command not in _OTHER_DEVICES:
            choices += _block_names(command, facts, look)
        elif len(alternatives) > 1:
            choices.append(Named(alternative, ""))
    return choices


def _block_names(command: str, facts: CompletionData, look: Look) -> list[Named]:
    """Return what a command that takes a block device can name."""
    if command in _DRIVES_ONLY:
        return drives(facts, look)
    match command:
        case "eject":
            return removable(facts, look)
        case "drive_del":
            return deletable(facts, look)
    return block_devices(facts, look)


def _asked(kind: Kind) -> _Names:
    return lambda facts, look, before, typed: look(Question(kind))


def _words(*words: str) -> _Names:
    return lambda facts, look, before, typed: named(words)


def _of_schema(command: str, *path: str) -> _Names:
    return lambda facts, look, before, typed: named(facts.schema.values(command, *path))


def _blocks(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return block_devices(facts, look)


def _drives(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return drives(facts, look)


def _removable_or_vnc(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return [*removable(facts, look), Named("vnc", "")]


def _jobs(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return jobs(facts, look)


def _files(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return look(folder_of(typed.lstrip('"')))


def _medium(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return named(("password",)) if before[0] == "vnc" else _files(facts, look, before, typed)


def _tags(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    """Return the tags. QEMU's own monitor also offers ids, which none of its commands takes."""
    return facts.tags


def _devices(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return facts.qdev_ids


def _objects(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return objects(look)


def _netdevs(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return netdevs(look)


def _keys(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return named(facts.schema.values("send-key", "keys", "", "data", given={"type": "qcode"}))


def _parameters(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    now = {one.name: one.meta for one in look(Question(Kind.PARAMETERS))}
    members = facts.schema.level("migrate-set-parameters", [], {}).members
    return (Named(one.name, f"{one.type}, now {now[one.name]}" if one.name in now else one.type) for one in members)


def _parameter_values(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    member = facts.schema.level("migrate-set-parameters", [], {}).member(before[0])
    if member is None:
        return ()
    return named(ON_OFF if "boolean" in member.type else member.values, member.type)


def _paths(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return qom_paths(look, typed)


def _path_properties(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    return look(Question(Kind.QOM, before[0]))


def _property_values(facts: CompletionData, look: Look, before: Sequence[str], typed: str) -> Iterable[Named]:
    one = next((one for one in look(Question(Kind.QOM, before[0])) if one.name == before[1]), None)
    return named(ON_OFF, "bool") if one is not None and one.type == "bool" else ()


_formats = _of_schema("blockdev-add", "driver")
_COPIED = (_drives, _files, _formats)
_CONNECTED = _of_schema("set_password", "connected")
_PROTOCOLS = _words("vnc", "spice")
# The position of the key=value word, if it is not the first.
_KEY_VALUE_PLACES = {"chardev-change": 1, "drive_add": 1}
_PLACES: Mapping[str, tuple[_Names, ...]] = {
    **dict.fromkeys(("loadvm", "delvm"), (_tags,)),
    **dict.fromkeys(("block_job_cancel", "block_job_complete", "block_job_pause", "block_job_resume"), (_jobs,)),
    **dict.fromkeys(("chardev-remove", "chardev-send-break", "chardev-change"), (_asked(Kind.CHARDEVS),)),
    **dict.fromkeys(("drive_backup", "drive_mirror", "snapshot_blkdev"), _COPIED),
    **dict.fromkeys(("dump-guest-memory", "dumpdtb", "logfile", "screendump", "wavcapture"), (_files,)),
    **dict.fromkeys(("memsave", "pmemsave"), (_words(), _words(), _files)),
    **dict.fromkeys(("hostfwd_add", "hostfwd_remove", "netdev_del"), (_netdevs,)),
    **dict.fromkeys(("ringbuf_read", "ringbuf_write"), (_asked(Kind.RING_BUFFERS),)),
    **dict.fromkeys(("qom-list", "info qom-tree"), (_paths,)),
    "block_job_set_speed": (_jobs,),
    "change": (_removable_or_vnc, _medium, _formats, _of_schema("blockdev-change-medium", "read-only-mode")),
    "cpu": (_asked(Kind.CPUS),),
    "device_del": (_devices,),
    "expire_password": (_PROTOCOLS, _words("now", "never")),
    "info trace-events": (_asked(Kind.TRACE_EVENTS),),
    "migrate_set_capability": (_asked(Kind.CAPABILITIES), _words(*ON_OFF)),
    "migrate_set_parameter": (_parameters, _parameter_values),
    "nbd_server_remove": (_asked(Kind.EXPORTS),),
    "object_del": (_objects,),
    "qom-get": (_paths, _path_properties),
    "qom-set": (_paths, _path_properties, _property_values),
    "set_link": (_asked(Kind.NETWORK), _words(*ON_OFF)),
    "set_password": (_PROTOCOLS, _words(), _CONNECTED),
    "snapshot_delete_blkdev_internal": (_blocks, _tags),
    "trace-event": (_asked(Kind.TRACE_EVENTS), _words(*ON_OFF)),
    "watchdog_action": (_of_schema("watchdog-set-action", "action"),),
}
