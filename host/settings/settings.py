"""The table of settings: everything that can be said about a VM, on a command line or in a file.

**To add a setting**, give the dataclass of its owner (Policy, AuditSettings, Terms or VMConfig) a member with a default, and
add one row here. The row makes the option of the programs that it names, with its place in their `--help`, the key of the
configuration file, the refusal of the option beside --config, and the error texts that name the option. Tests then fail until
`example.toml` shows and explains the key with its default. Only a value of a new form needs a new type in
`host/settings/setting_types.py`, and only a setting that another one rules out needs a line in
`host/configuration/contradictions.py`.

The order of the rows is that of the options in `--help`, section by section.

An option for how a program runs that says nothing about a VM (`--verbose`, `--json`, `--history`) is not a setting: it cannot
be in the file, can be given beside --config, and is defined with that program's command line.
"""

import re
from collections.abc import Iterator
from typing import Any

from host.net.addresses import parse_listen_address, parse_taken_path
from host.settings import config, limit_types
from host.settings import setting_types as types
from host.settings.config import AuditFailure
from host.settings.listener_settings import (
    ERRORS,
    LISTENER_SETTINGS,
    OF_CLIENTS,
    OF_QMP,
    OF_SOCKETS,
    OF_TLS,
    PRETTY,
    ROLE,
    TELNET,
)
from host.settings.listener_types import TEXT_OR_NONE, listener_type, listeners_type
from host.settings.rule_types import ALLOWED_COMMANDS, RULES
from host.settings.setting_row import Owner, Program, Section, Setting
from shim.graph.policy import ABANDON_AFTER_S, ABANDON_LOAD_AFTER_S, FailedLoad, Mode, Overwrite, PolicyKind, WhenFull
from shim.records.confidential import Confidential

__all__ = ["SETTINGS", "Owner", "Program", "Section", "Setting", "option_of", "settings_of", "with_options"]

_PROXY = (Program.PROXY,)
_PROXY_AND_PLAN = (Program.PROXY, Program.PLAN)
_PROXY_AND_PROMPT = (Program.PROXY, Program.PROMPT)
_ALL = tuple(Program)


def _vm(key: str, kind: types.SettingType, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.VM, **{"section": Section.VM, **rest})


def _limit(key: str, kind: types.SettingType, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.VM, section=Section.LIMITS, **rest)


def _policy(key: str, kind: types.SettingType, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.POLICY, **{"section": Section.POLICY, "programs": _ALL, **rest})


def _audit(key: str, kind: types.SettingType, member: str, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.AUDIT, member=member, section=Section.LOG, **rest)


# Rows are easier to read on few lines; the formatter would use one line for each argument.
# fmt: off
SETTINGS: tuple[Setting, ...] = (
    _vm("upstream", types.ADDRESS, "QEMU's QMP socket (see addresses below)",
        programs=_PROXY_AND_PLAN, metavar="ADDRESS", is_shared=False),
    _vm("listen", listeners_type(parse_listen_address, LISTENER_SETTINGS),
        "a socket for the legacy tools (repeatable)", metavar="ADDRESS", is_shared=False),
    _vm("hmp_listen", listeners_type(parse_listen_address, [row for row in LISTENER_SETTINGS if row not in OF_QMP]),
        "a socket at which clients find HMP's prompt, as at -monitor (repeatable)", metavar="ADDRESS", is_shared=False),
    _vm("attach", types.SOCKET_PATH,
        "instead of --upstream: borrow QEMU's own socket for a moment to add a monitor for the proxy, and leave it to its tool "
        "(QEMU 11.1 and newer)", metavar="PATH", is_shared=False),
    # The mode and owner of QEMU's own socket decide who may connect.
    _vm("take_over", listener_type(parse_taken_path, [row for row in LISTENER_SETTINGS if row not in OF_SOCKETS]),
        "move QEMU's own socket aside and listen at its path", metavar="PATH", is_shared=False),
    *OF_SOCKETS,
    TELNET,
    PRETTY,
    _vm("upstream_tls_ca", TEXT_OR_NONE,
        "talk TLS to a QEMU on TCP; this file has the certificate of the authority that signed QEMU's, in PEM",
        programs=_PROXY_AND_PLAN, metavar="FILE"),
    _vm("upstream_tls_certificate", TEXT_OR_NONE, "the file with the proxy's certificate, if QEMU wants one",
        programs=_PROXY_AND_PLAN, metavar="FILE"),
    _vm("upstream_tls_key", TEXT_OR_NONE, "the file with its key, if not the same file",
        programs=_PROXY_AND_PLAN, metavar="FILE"),
    _vm("upstream_tls_name", TEXT_OR_NONE, "the name in QEMU's certificate (default: the host of its address)",
        programs=_PROXY_AND_PLAN, metavar="NAME"),
    _vm("wait", types.SWITCH, "if QEMU is not there yet, wait for it"),
    _vm("connect_timeout", types.WHOLE_SECONDS,
        "how many seconds QEMU may take to send its greeting once its socket exists (default %(default)s)",
        member="connect_timeout_s", metavar="SECONDS", default=config.CONNECT_TIMEOUT_S),
    _vm("end_with_vm", types.SWITCH, "end when QEMU has gone, instead of waiting for it to come back", member="ends_with_vm"),
    _vm("stop_timeout", types.SECONDS,
        "how many seconds to wait, at SIGTERM, for the commands that have begun (default %(default)g)",
        member="stop_timeout_s", metavar="S", default=config.STOP_TIMEOUT_S),

    *OF_CLIENTS,
    *OF_TLS,

    ROLE,
    _vm("rules", RULES,
        "commands that clients may or may not send: 'allow COMMAND, ...' or 'deny COMMAND, ...', for some clients only with "
        "' for KEY=VALUE, ...' (see rules below); the first rule that matches decides (repeatable)",
        section=Section.RULES, option="--rule", metavar="RULE"),

    _policy("policy", types.one_of(PolicyKind),
            "auto: a UEFI varstore that cannot hold a snapshot is left out, and no varstore ever gets the VM state; "
            "hmp: exactly the disks that QEMU's own HMP commands take (default %(default)s)",
            member="kind", default=PolicyKind.AUTO),
    _policy("vmstate", types.PATTERNS,
            "which disk gets the VM state (see patterns below); repeat it to name a second choice", metavar="PATTERN"),
    _policy("include", types.PATTERNS, "a node that every snapshot takes (repeatable)", metavar="PATTERN"),
    _policy("exclude", types.PATTERNS, "a node that no snapshot takes (repeatable)", metavar="PATTERN"),
    _policy("overwrite", types.one_of(Overwrite),
            "what savevm does if its tag exists and QEMU's own savevm cannot replace it: safe: save under an internal tag "
            "first, so that a snapshot exists at every moment; replace: delete the old snapshot, then save, in half the time; "
            "refuse: keep the old snapshot, and do not let QEMU's own savevm replace one either (default %(default)s)",
            default=Overwrite.SAFE),
    _policy("failed_load", types.one_of(FailedLoad),
            "what loadvm does if it is known to fail, for example because a disk lacks the tag: hmp: stop the VM and leave it "
            "stopped, as HMP does; refuse: answer with HMP's error and let the VM run on (default: hmp; for hmp-repl: refuse)"),
    _policy("guard", types.SWITCH_OFF, "do not refuse commands that are known to crash the connected QEMU",
            option="--no-guard"),
    _vm("strict", types.SWITCH,
        "make a pattern that matches nothing in the VM an error, not just a warning, and end if the only VM of a file fails",
        member="is_strict", section=Section.POLICY),

    _policy("max_snapshots", limit_types.LIMIT,
            "how many snapshots a VM may have, 0 for any number; a savevm that replaces one adds none (default %(default)s)",
            section=Section.SNAPSHOTS, metavar="COUNT", default=0),
    _policy("when_full", types.one_of(WhenFull),
            "what a savevm does that would make one too many: refuse; or delete-oldest: save, then delete the oldest of those "
            "whose tags begin with --delete-prefix (default %(default)s)",
            section=Section.SNAPSHOTS, metavar="WAY", default=WhenFull.REFUSE),
    _policy("delete_prefix", limit_types.PREFIX,
            "the only tags that --when-full delete-oldest may delete: those that begin with this",
            section=Section.SNAPSHOTS, metavar="PREFIX"),
    _policy("protect", limit_types.TAGS,
            "tags that savevm does not replace and delvm does not delete, shell wildcards (repeatable)",
            section=Section.SNAPSHOTS, metavar="TAG"),
    _policy("protect_load", limit_types.TAGS, "tags that loadvm does not load (repeatable)",
            section=Section.SNAPSHOTS, metavar="TAG"),
    _policy("check_space", types.SWITCH,
            "refuse a savevm if the file system of the image that gets the VM state has less room than the VM has RAM",
            section=Section.SNAPSHOTS),

    _policy("abandon_after", types.SECONDS,
            "do not start a savevm or delvm more than this many seconds after it arrived (default %(default)g)",
            member="abandon_after_s", section=Section.GONE, programs=_PROXY, metavar="S", default=ABANDON_AFTER_S),
    _policy("abandon_load_after", types.SECONDS,
            "the same for loadvm, which throws away the VM's present state (default %(default)g)",
            member="abandon_load_after_s", section=Section.GONE, programs=_PROXY, metavar="S", default=ABANDON_LOAD_AFTER_S),

    _policy("mode", types.one_of(Mode),
            "rewrite: as described above; observe: QEMU gets every command unchanged, and the audit log says what rewriting "
            "would have done; enforce: as rewrite, and all other HMP commands are refused (default %(default)s)",
            section=Section.MODE, programs=_PROXY, default=Mode.REWRITE),
    _policy("allow", ALLOWED_COMMANDS,
            'a command to let through in mode enforce: an HMP command, such as "info block", or one of the few QMP commands '
            'that it refuses, such as "migrate: exec:*" (repeatable)',
            section=Section.MODE, programs=_PROXY, metavar="COMMAND"),
    ERRORS,

    _limit("client_buffer_mib", types.BUFFER_MIB, "disconnect a client that leaves more than this unread (default %(default)s)",
           member="client_buffer_bytes", option="--client-buffer", metavar="MIB", default=config.CLIENT_BUFFER_MIB),
    _limit("total_buffer_mib", types.MIB,
           "if more than this waits to go to and from all clients together, disconnect those with the most "
           "(default %(default)s)",
           member="total_buffer_bytes", option="--total-buffer", metavar="MIB", default=config.TOTAL_BUFFER_MIB),
    _limit("max_clients", types.COUNT, "how many clients may be connected (default %(default)s)",
           metavar="COUNT", default=config.MAX_CLIENTS),
    _limit("max_user_clients", types.COUNT,
           "how many of them one user may have; on TCP, one certificate, or without one, one host (default %(default)s)",
           metavar="COUNT", default=config.MAX_USER_CLIENTS),
    _limit("max_negotiating", types.COUNT,
           "how many of them may still owe qmp_capabilities; when one more comes, the user with the most of these "
           "loses one (default %(default)s)",
           metavar="COUNT", default=config.MAX_NEGOTIATING),
    _limit("negotiation_timeout", types.SECONDS,
           "how many seconds a client may take to send it; 0 is for ever (default %(default)g)",
           member="negotiation_timeout_s", metavar="S", default=config.NEGOTIATION_TIMEOUT_S),
    _limit("client_idle_timeout", types.SECONDS,
           "disconnect a client that has sent nothing for so many seconds; 0 is never (default %(default)g)",
           member="client_idle_timeout_s", metavar="S", default=0.0),
    _limit("client_commands", types.COUNT,
           "how many commands of a client may be under way at most; the others wait (default %(default)s)",
           metavar="COUNT", default=config.CLIENT_COMMANDS),
    _limit("client_descriptors", types.COUNT,
           "disconnect a client that has sent more file descriptors than this that no command has taken (default %(default)s)",
           metavar="COUNT", default=config.CLIENT_DESCRIPTORS),
    _limit("max_command_mib", types.MIB, "refuse a longer command, with QEMU's own error (default %(default)s)",
           member="max_command_bytes", metavar="MIB", default=config.MAX_COMMAND_MIB),
    _limit("max_command_nesting", types.COUNT, "refuse a command that is nested more deeply, likewise (default %(default)s)",
           metavar="COUNT", default=config.MAX_COMMAND_NESTING),

    _vm("name", types.TEXT, "the VM's name in the audit log (default: QEMU's -name, or else its socket)", section=Section.LOG,
        programs=_PROXY_AND_PROMPT, is_shared=False,
        prompt_help="the VM's name in the audit log (default: QEMU's -name, or else the address)"),
    _audit("audit", types.DESTINATION, "destination",
           "append a JSON record of every human-monitor-command to FILE; - means standard output, syslog: the syslog daemon "
           "at /dev/log, and syslog:PATH one at another socket",
           programs=_PROXY_AND_PROMPT, metavar="FILE",
           prompt_help="append a JSON record of every HMP command to FILE; syslog: and syslog:PATH send it to a syslog daemon"),
    _audit("audit_sync", types.SWITCH, "sync", "have each record on disk before its command is answered"),
    _audit("audit_failure", types.one_of(AuditFailure), "failure",
           "what happens to a command whose record cannot be written: refuse: it is not run; continue: it is run, and the "
           "next record says how many were lost (default %(default)s)",
           default=AuditFailure.CONTINUE),
    _audit("audit_redact", types.CONFIDENTIAL, "redact",
           f"mask confidential values: {', '.join(Confidential)}, or all (repeatable, or separated by commas)",
           metavar="KIND"),
    _audit("audit_key", types.TEXT, "key",
           "the key of the masks, a file that only its owner can read; without one, the masks of each process differ",
           metavar="KEYFILE"),
    _audit("audit_rotate_mib", types.MIB, "rotate_bytes", "rename FILE to FILE.1 before it grows beyond this",
           metavar="MIB"),
    _audit("audit_rotate_hours", types.HOURS, "rotate_age_s", "rename it also when its first record is older than this",
           metavar="HOURS"),
    _audit("audit_keep", types.COUNT, "keep",
           "how many renamed files to keep, FILE.1 to FILE.COUNT (default %(default)s)",
           metavar="COUNT", default=config.AUDIT_KEEP),
)
# fmt: on


def settings_of(program: Program, section: Section) -> Iterator[Setting]:
    """Yield the settings for which a program has an option in a section, in the order of its `--help`."""
    return (setting for setting in SETTINGS if setting.section is section and program in setting.programs)


def option_of(key: str) -> str:
    """Return the option of a key, as an error about it names it."""
    return next(setting.flag for setting in SETTINGS if setting.key == key)


def with_options(reason: str) -> str:
    """Return a text about settings with options in place of keys of the file. Keys of one word stay: they are ordinary words,
    too."""
    flags = {setting.key: setting.flag for setting in SETTINGS if "_" in setting.key}
    return re.sub(r"(?<!\S)\w+(?=[,;.:]?(?:\s|$))", lambda word: flags.get(word[0], word[0]), reason)
