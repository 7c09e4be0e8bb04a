"""Which VM, if several could be meant: a numbered list, and a line for a number or a name."""

from collections.abc import Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_session
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.utils import get_cwidth

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding.choosing import NoVMError, by_name, by_number
from repl.finding.looking import Look
from repl.finding.vms import FoundVM
from repl.output.layout import Fragments, cut
from repl.prompt.editor.editing import keys, menu_rows
from repl.prompt.editor.style import STYLE
from shim.printable import printable

__all__ = ["choose_at_terminal", "chosen", "rows"]

# Rows besides the list: the question, and what is wrong with an answer.
_OTHER_ROWS = 3
# What would be said of its state is that this prompt is connected to it.
_HERE = "here"


def choose_at_terminal(vms: Sequence[FoundVM]) -> FoundVM:
    """Return the VM that a person chooses, or the only one. Raises KeyboardInterrupt if none is chosen."""
    output = get_app_session().output
    if len(vms) == 1:
        (vm,) = vms
        _print([("class:notice", printable(f"the only VM here is {vm.name}: {vm}") + "\n")])
        return vm
    size = output.get_size()
    _print(rows(vms, width=size.columns, height=size.rows))
    names = list(dict.fromkeys(vm.name for vm in vms))
    session: PromptSession[str] = PromptSession(
        [("class:prompt", "Which VM? ")],
        style=STYLE,
        completer=WordCompleter(names, sentence=True, ignore_case=True),
        complete_while_typing=False,
        key_bindings=keys(),
        reserve_space_for_menu=min(menu_rows(size.rows), len(names)),
        include_default_pygments_style=False,
    )
    while True:
        try:
            return chosen(vms, session.prompt())
        except NoVMError as exc:
            _print([("class:error", f"{printable(str(exc))}\n")])
        except EOFError as exc:
            raise KeyboardInterrupt from exc


def chosen(vms: Sequence[FoundVM], text: str) -> FoundVM:
    """Return the VM with this number in the list, or with this name. Raises NoVMError."""
    typed = text.strip()
    if not typed:
        raise NoVMError(typed, "type a number or a name")
    if (numbered := by_number(vms, typed)) is not None:
        return numbered
    if sum(vm.name == typed for vm in vms) > 1:
        raise NoVMError(typed, f"several VMs are called '{typed}'; type a number")
    return by_name(Look(tuple(vms), ()), typed)


def rows(
    vms: Sequence[FoundVM],
    *,
    width: int,
    height: int | None = None,
    present: UnixAddress | TCPAddress | None = None,
) -> Fragments:
    """Return the list, a line for each VM, in as much room as there is. height: None for as many lines as it takes.

    present: where the prompt is connected.
    """
    if not vms:
        return []
    fits = height is None or len(vms) <= height - _OTHER_ROWS
    shown = vms if height is None or fits else vms[: max(1, height - _OTHER_ROWS - 1)]
    digits = len(str(len(vms)))
    names = [printable(vm.name) for vm in shown]
    widest = min(max(map(get_cwidth, names)), max(1, width // 2 - digits))
    states = [_HERE if present in vm.sockets else vm.state.value for vm in shown]
    state_chars = max(map(len, states))
    fragments: Fragments = []
    for number, (vm, name, state) in enumerate(zip(shown, names, states, strict=True), 1):
        name = cut(name, widest)
        head = f"{number:>{digits}}  {name}{' ' * (widest - get_cwidth(name))}"
        whose = f"{vm.via.value}'s"
        rest = printable(f"  {state:<{state_chars}}  {whose:<7} {vm.address}")
        fragments.append(("", cut(f"{head}{rest}", width) + "\n"))
    if len(shown) < len(vms):
        fragments.append(("class:dim", cut(f"and {len(vms) - len(shown)} more; Tab completes names", width) + "\n"))
    return fragments


def _print(fragments: Fragments) -> None:
    output = get_app_session().output
    print_formatted_text(output, FormattedText(fragments), STYLE, color_depth=output.get_default_color_depth())
    output.flush()
