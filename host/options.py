"""Options that more than one program has: the policy, and which VM of a configuration file is meant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from host.errors import AddressError
from shim.errors import PatternError
from shim.patterns import KEYS, KINDS, Pattern
from shim.policy import FailedLoad, Mode, Overwrite, Policy, PolicyKind
from shim.printable import printable

if TYPE_CHECKING:  # it is a file's matter
    from host.config import VMConfig

__all__ = [
    "PATTERNS",
    "Parser",
    "add_policy",
    "argument",
    "choice",
    "choose_vm",
    "policy_of",
    "refuse_mixture",
    "seconds",
    "whole_number",
]

PATTERNS = f"""
patterns for block nodes:
  NAME                  a node name or a device, with the shell's wildcards
  KEY:GLOB              where KEY is {", ".join(KEYS)}
  kind:KIND             where KIND is {", ".join(KINDS)}
"""

# More of anything is a slip of the finger.
_NUMBER_DIGITS = 9

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=StrEnum)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says an error in one line, as every error here is said, and exits with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Make a function for add_argument's `type` of one that raises AddressError or PatternError."""

    def parse_argument(text: str) -> _T:
        try:
            return parse(text)
        except (AddressError, PatternError) as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return parse_argument


def choice(kind: type[_Choice]) -> Callable[[str], _Choice]:
    """Make a function for add_argument's `type` that takes the values of an enum."""

    def parse_choice(text: str) -> _Choice:
        try:
            return kind(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(kind)}") from exc

    return parse_choice


def seconds(text: str) -> float:
    """Read a number of seconds from 0, for add_argument's `type`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value < inf:
        return value
    raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds from 0")


def whole_number(text: str) -> int:
    """Read a number from 1, for add_argument's `type`."""
    if text.isascii() and text.isdecimal() and len(text) <= _NUMBER_DIGITS and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text:.40}' is no whole number from 1 to {10**_NUMBER_DIGITS - 1}")


class _PolicyOption(argparse.Action):
    """Store, append or switch on, and note in `policy_options` that it was given, be it with its default."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        stored = True if self.nargs == 0 else [*getattr(namespace, self.dest), values] if self.default == [] else values
        setattr(namespace, self.dest, stored)
        namespace.policy_options = list(dict.fromkeys([*namespace.policy_options, self.option_strings[0]]))


def add_policy(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that `policy_of` reads, and return their group.

    Those that are given are in `policy_options`, in their order.
    """
    parser.set_defaults(policy_options=[])
    group = parser.add_argument_group("which disks a snapshot takes")
    pattern = argument(Pattern.parse)
    group.add_argument(
        "--policy",
        action=_PolicyOption,
        type=choice(PolicyKind),
        choices=list(PolicyKind),
        default=PolicyKind.AUTO,
        help="auto: a UEFI varstore is left out if it cannot hold a snapshot, and never gets the VM state; "
        "hmp: exactly the disks that QEMU's own HMP commands take (default %(default)s)",
    )
    for option, meaning in (
        ("--vmstate", "what gets the VM state (patterns: see below); repeat it to name the second choice"),
        ("--include", "a node that snapshots take in any case (repeatable)"),
        ("--exclude", "a node that no snapshot takes (repeatable)"),
    ):
        group.add_argument(option, action=_PolicyOption, default=[], type=pattern, metavar="PATTERN", help=meaning)
    group.add_argument(
        "--overwrite",
        action=_PolicyOption,
        type=choice(Overwrite),
        choices=list(Overwrite),
        default=Overwrite.SAFE,
        help="what savevm does whose tag exists, where QEMU's own savevm cannot replace it: safe: save under an internal tag "
        "first, so that a snapshot exists at every moment; replace: delete the old one, then save, in half the time; refuse: "
        "nothing is replaced, by QEMU neither (default %(default)s)",
    )
    group.add_argument(
        "--failed-load",
        action=_PolicyOption,
        type=choice(FailedLoad),
        choices=list(FailedLoad),
        help="what loadvm does that is known to fail, as for a tag that a disk lacks: hmp: as HMP, which stops the VM and "
        "leaves it stopped; refuse: answer HMP's error, and leave the VM alone (default: hmp; at the prompt refuse)",
    )
    group.add_argument(
        "--no-guard",
        action=_PolicyOption,
        nargs=0,
        default=False,
        help="do not refuse commands that are known to crash the connected QEMU",
    )
    return group


def policy_of(given: argparse.Namespace, *, mode: Mode = Mode.REWRITE, allow: Sequence[str] = ()) -> Policy:
    """Give the policy that the options of `add_policy` describe."""
    return Policy(
        given.policy,
        vmstate=tuple(given.vmstate),
        include=tuple(given.include),
        exclude=tuple(given.exclude),
        overwrite=given.overwrite,
        guard=not given.no_guard,
        failed_load=given.failed_load,
        mode=mode,
        allow=frozenset(allow),
    )


def refuse_mixture(parser: argparse.ArgumentParser, given: argparse.Namespace, fitting: Sequence[str]) -> None:
    """Exit with an error for an option that is not among those that go with --config: the file is to say it."""
    for option in given.policy_options:
        parser.error(f"{option} does not go with --config; write it into the file")
    for name, value in vars(given).items():
        if name not in fitting and value != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')} does not go with --config; write it into the file")


def choose_vm(parser: argparse.ArgumentParser, path: str, name: str | None) -> VMConfig:
    """Give the VM of a configuration file that is meant, or exit with an error. name: None where the file has only one.

    Raises ConfigError for a mistake in the file.
    """
    from host.config_file import load_config_file  # here, because without a file nothing of TOML is needed

    vms = load_config_file(path)
    names = [str(vm.name or vm.upstream) for vm in vms]
    chosen = [vm for vm, its_name in zip(vms, names, strict=True) if name in (None, its_name)]
    if len(chosen) != 1:
        parser.error(f"say which VM: --vm with one of {', '.join(names)}")
    return chosen[0]
