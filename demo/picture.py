"""`python -m demo.picture docs/hmp-repl.svg`: the README's picture of hmp-repl, taken from the program at work on a real VM."""

import sys
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from demo.errors import DemoError
from demo.prompt import playground
from demo.terminal import Terminal

__all__ = ["draw", "main"]

_COLUMNS: Final = 96
_ROWS: Final = 33
_CELL: Final = (8.43, 18)
_MARGIN: Final = 14
_PAPER, _INK = "#1d1f21", "#d8dad6"
_COLOURS: Final = {
    "red": "#ef6b73",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c98be0",
    "cyan": "#56b6c2",
    "brightblack": "#7f848e",
}
_TAB, _DOWN = "\t", "\x1b[B"


def main() -> int:
    """Take the picture, write it to the file that the command line names, and return the exit status."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m demo.picture FILE.svg\n")
        return 2
    try:
        with playground() as vm:
            command = [sys.executable, "-m", "repl", str(vm.qmp_path), "--history", ""]
            with Terminal(command, columns=_COLUMNS, rows=_ROWS, environment={"TERM": "xterm-256color"}) as terminal:
                _work(terminal)
                Path(sys.argv[1]).write_text(draw(terminal.screen), encoding="utf-8")
    except (DemoError, OSError) as exc:
        sys.stderr.write(f"demo: {exc}\n")
        return 1
    return 0


def _work(terminal: Terminal) -> None:
    """Do what a person would do; at the end, a menu is open."""
    terminal.wait_for("0 snapshots")
    for tag in ("clean-install", "before-update"):
        terminal.press(f"savevm {tag}\r")
        terminal.wait_for(f"done: savevm {tag}")
    terminal.wait_for("2 snapshots")
    terminal.press("info snapshots\r")
    terminal.wait_for("STATE ON")
    terminal.press("loadvm clean-install\r")
    terminal.wait_for("[y/N]")
    terminal.press("y")
    terminal.wait_for("done: loadvm")
    terminal.press("delvm " + _TAB)
    terminal.wait_for("before-update  20")
    # The toolbar is drawn last.
    terminal.wait_for("delvm tag -- ")


def draw(screen: Any) -> str:
    """Return a pyte screen as SVG."""
    width, height = (_CELL[0] * screen.columns + 2 * _MARGIN, _CELL[1] * screen.lines + 2 * _MARGIN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img"'
        ' font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">',
        "<title>hmp-repl: saving, listing and loading snapshots, with completion</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
        *(part for row in range(screen.lines) for part in _row(screen, row)),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _row(screen: Any, row: int) -> Iterator[str]:
    """Yield each run of characters that look alike."""
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    top = _MARGIN + row * _CELL[1]
    for look, run in groupby(cells, key=lambda cell: cell[1]._replace(data="")):
        members = list(run)
        text = "".join(char.data for _, char in members)
        left, size = _MARGIN + members[0][0] * _CELL[0], len(members) * _CELL[0]
        ink, paper = _colour(look.fg, _INK), _colour(look.bg, _PAPER)
        if look.reverse:
            ink, paper = paper, ink
        if paper != _PAPER:
            yield f'<rect x="{left:.2f}" y="{top:.2f}" width="{size:.2f}" height="{_CELL[1]}" fill="{paper}"/>'
        if text.strip():
            weight = ' font-weight="bold"' if look.bold else ""
            yield (
                f'<text x="{left:.2f}" y="{top + 13.5:.2f}" fill="{ink}" textLength="{size:.2f}" xml:space="preserve"'
                f"{weight}>{escape(text)}</text>"
            )


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return _COLOURS.get(name, f"#{name}" if len(name) == 6 else default)


if __name__ == "__main__":
    sys.exit(main())
