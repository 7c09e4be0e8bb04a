"""The settings as options of a program, and back: parsed options become a policy, an audit log's settings, a VM.

All of it is driven by the table in `host/settings/settings.py`.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from host.settings.config import AuditSettings, VMConfig, audit_settings
from host.settings.settings import SETTINGS, Owner, Program, Section, Setting, settings_of
from shim.graph.patterns import KEYS, KINDS
from shim.graph.policy import Policy
from shim.printable import printable
from shim.rules.risks import RISKS
from shim.version import VERSION

__all__ = [
    "PATTERNS",
    "RULES",
    "HelpFormatter",
    "Parser",
    "add_section",
    "add_settings",
    "add_version",
    "audit_of",
    "choose_vm",
    "members_of",
    "policy_of",
    "refuse_mixture",
]

PATTERNS = f"""
patterns for block nodes:
  NAME                  a node name or a device, with shell wildcards
  KEY:GLOB              where KEY is {", ".join(KEYS)}
  kind:KIND             where KIND is {", ".join(KINDS)}
"""

RULES = f"""
rules:
  allow COMMAND, ...    let these commands through; deny COMMAND, ... refuses them, whatever way leads to them
  ... for KEY=VALUE, ... only for clients that match each KEY=VALUE; KEY is listener, user, executable or certificate
  COMMAND               a QMP command, with shell wildcards; {", ".join(RISKS)} (only to deny): another monitor, a program
  COMMAND: VALUE        with this value of its main argument, such as 'object-add: monitor-*'
  human-monitor-command: LINE
                        an HMP command, such as 'human-monitor-command: info *'
"""

_COLUMNS = 80


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports an error in one line, like every error of these programs, and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse would ask shutil for the width at every option, which imports compressors."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Return COLUMNS or the terminal's width, as shutil.get_terminal_size does."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        terminal = sys.__stdout__
        return (terminal is not None and os.get_terminal_size(terminal.fileno()).columns) or _COLUMNS
    except (ValueError, OSError):  # it is closed, or not a terminal
        return _COLUMNS


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add --version, which prints the program's name and version, and exits."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} {VERSION}", help="show the version and exit")


class _PolicyOption(argparse.Action):
    """Store, append or switch on, and note in `policy_options` that the option was given, even with its default value."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        stored = True if self.nargs == 0 else [*getattr(namespace, self.dest), values] if self.default == [] else values
        setattr(namespace, self.dest, stored)
        namespace.policy_options = list(dict.fromkeys([*namespace.policy_options, self.option_strings[0]]))


def add_settings(group: argparse._ArgumentGroup, program: Program, settings: Iterable[Setting]) -> None:
    """Add the options of settings. Options given that affect the policy are listed in `policy_options`, in their order."""
    group.set_defaults(policy_options=[])
    for setting in settings:
        group.add_argument(setting.flag, **_how_given(setting, program))


def add_section(parser: argparse.ArgumentParser, program: Program, section: Section) -> argparse._ArgumentGroup:
    """Add a section with all its options, and return its group."""
    group = parser.add_argument_group(section.value)
    add_settings(group, program, settings_of(program, section))
    return group


def _how_given(setting: Setting, program: Program) -> dict[str, Any]:
    """Return the arguments for add_argument."""
    kind = setting.type
    is_switch = kind.from_word is None
    how: dict[str, Any] = {
        "help": (program is Program.PROMPT and setting.prompt_help) or setting.help,
        "default": _unsaid(setting),
    }
    if setting.gives_policy:
        how |= {"action": _PolicyOption} | ({"nargs": 0} if is_switch else {})
    elif is_switch or kind.is_repeatable:
        how["action"] = "store_true" if is_switch else "append"
    if not is_switch:
        how |= {"type": kind.from_word, "metavar": setting.metavar}
        how |= {"choices": kind.choices} if kind.choices else {}
    return how


def _unsaid(setting: Setting) -> Any:
    """Return what argparse stores for an option that is not given."""
    if setting.type.from_word is None:
        return False
    return [] if setting.type.is_repeatable else setting.default


def _is_said(setting: Setting, given: argparse.Namespace) -> bool:
    """Return whether an option has another value than its default; False if the program does not have it."""
    unsaid = _unsaid(setting)
    return bool(getattr(given, setting.destination, unsaid) != unsaid)


def members_of(parser: argparse.ArgumentParser, given: argparse.Namespace, owner: Owner) -> dict[str, Any]:
    """Return the members of a dataclass that the options give; those left out keep its defaults. Exits for a wrong value."""
    members = {}
    for setting in SETTINGS:
        if setting.owner is owner and _is_said(setting, given):
            try:
                members[setting.field] = setting.type.finish(getattr(given, setting.destination))
            except ValueError as exc:
                parser.error(f"{setting.flag} {exc}")
    return members


def policy_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Policy:
    """Return the policy that the options describe."""
    return Policy(**members_of(parser, given, Owner.POLICY))


def audit_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> AuditSettings | None:
    """Return the audit log's settings from the options; None if there is no log."""
    return audit_settings(**members_of(parser, given, Owner.AUDIT))


def refuse_mixture(parser: argparse.ArgumentParser, given: argparse.Namespace, fitting: Sequence[str]) -> None:
    """Exit with an error for a setting given beside --config: it belongs into the file.

    fitting: the keys that may be given all the same.
    """
    for option in given.policy_options:
        parser.error(f"{option} cannot be used with --config; write it into the file")
    for setting in SETTINGS:
        if setting.key not in fitting and _is_said(setting, given):
            parser.error(f"{setting.flag} cannot be used with --config; write it into the file")


def choose_vm(parser: argparse.ArgumentParser, path: str, name: str | None) -> VMConfig:
    """Return the requested VM of a configuration file, or exit with an error. name: None if the file has only one.

    Raises ConfigError for a mistake in the file.
    """
    from host.configuration.config_file import load_config_file  # here, because without a file no TOML is read

    vms = load_config_file(path)
    names = [str(vm.name or vm.upstream) for vm in vms]
    chosen = [vm for vm, its_name in zip(vms, names, strict=True) if name in (None, its_name)]
    if len(chosen) != 1:
        parser.error(f"say which VM: --vm with one of {', '.join(names)}")
    return chosen[0]
