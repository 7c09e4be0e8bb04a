"""How the prompt looks: in the terminal's own sixteen colours, which its owner has made readable on the background.

Nothing here sets a background, so it works on dark and light ones; what has to stand out, such as the selected line of a menu,
is reversed. NO_COLOR removes the colours (prompt_toolkit, output/color_depth.py); what must still stand out then is bold,
underlined or reversed.
"""

from collections.abc import Mapping
from typing import Final

from prompt_toolkit.styles import Style

__all__ = ["COLORED", "STYLE", "style_with"]

# Looks by name; a person can change them in the settings.
_OURS: Final = {
    "prompt": "bold",
    "error": "ansired",
    "success": "ansigreen",
    "notice": "ansimagenta",
    "fault": "ansired bold",
    "repair": "bold",
    "heading": "bold",
    "table.header": "bold",
    "tag": "bold",
    "dim": "",
    "event": "ansicyan",
    "event.time": "",
    "json.key": "ansicyan",
    "json.string": "ansigreen",
    "json.number": "ansimagenta",
    "json.constant": "ansimagenta",
    "progress": "bold",
    "toolbar.hint": "",
    "toolbar.name": "bold",
    "toolbar.running": "",
    "toolbar.stopped": "bold",
    "auto-suggestion": "ansibrightblack",
    "menu": "",
    "menu.current": "reverse",
    "search": "reverse",
}
# The names in the settings, with hyphens, because a dot in a TOML key would make a table.
COLORED: Final = {name.replace(".", "-"): name for name in _OURS}


def style_with(colors: Mapping[str, str]) -> Style:
    """Return the style. colors: other looks, by names of COLORED."""
    looks = {name: colors.get(said, _OURS[name]) for said, name in COLORED.items()}
    menu, current, found = looks.pop("menu"), f"noreverse {looks.pop('menu.current')}", looks.pop("search")
    return Style.from_dict(
        {
            **looks,
            # prompt_toolkit gives these colours of its own, which the terminal's owner has not chosen.
            "completion-menu": f"fg:default bg:default {menu}",
            "completion-menu.completion": "",
            "completion-menu.completion.current": f"fg:default bg:default {current}",
            "completion-menu.meta.completion": f"fg:default bg:default {menu}",
            "completion-menu.meta.completion.current": f"fg:default bg:default {current}",
            "scrollbar.background": f"bg:default {menu}",
            "scrollbar.button": f"bg:default {current}",
            "search": f"fg:default bg:default {found}",
            "search.current": f"fg:default bg:default {found} bold",
            "incsearch": f"fg:default bg:default {found}",
            "incsearch.current": f"fg:default bg:default {found} bold",
            "matching-bracket.other": "fg:default bg:default bold",
            "matching-bracket.cursor": "fg:default bg:default bold",
            "multiple-cursors": "fg:default bg:default reverse",
            "validation-toolbar": "fg:default bg:default reverse",
            "window-too-small": "fg:default bg:default reverse",
            "aborting": "fg:default bg:default noreverse noitalic nounderline noblink",
            "exiting": "fg:default bg:default noreverse noitalic nounderline noblink",
            "digraph": "ansiblue",
            "control-character": "ansiblue",
            "trailing-whitespace": "fg:default",
            "tab": "fg:default",
        }
    )


STYLE: Final = style_with({})
