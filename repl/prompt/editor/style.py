"""How the prompt looks: the terminal's own sixteen colours, which its owner has made readable on his background.

Nothing here sets a background, so it is as good on a dark one as on a light one; what has to stand out of the rest, as the
chosen line of a menu, is reversed. NO_COLOR takes the colours away (prompt_toolkit, output/color_depth.py); what must still be
seen then is bold, underlined or reversed.
"""

from collections.abc import Mapping
from typing import Final

from prompt_toolkit.styles import Style

__all__ = ["COLORED", "STYLE", "style_with"]

# What is shown, by names that a person can give other colours in the settings.
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
# With hyphens, because a dot in a key of TOML makes a table of the rest.
COLORED: Final = {name.replace(".", "-"): name for name in _OURS}


def style_with(colors: Mapping[str, str]) -> Style:
    """Return the style with other looks for some of the names, which are those of COLORED."""
    looks = {name: colors.get(said, _OURS[name]) for said, name in COLORED.items()}
    menu, current, found = looks.pop("menu"), f"noreverse {looks.pop('menu.current')}", looks.pop("search")
    return Style.from_dict(
        {
            **looks,
            # What prompt_toolkit has in colours of its own, which no terminal's owner has chosen.
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
