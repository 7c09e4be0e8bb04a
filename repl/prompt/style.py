"""How the prompt looks: the terminal's own sixteen colours, which its owner has made readable on his background.

Nothing here sets a background. NO_COLOR takes the colours away (prompt_toolkit, output/color_depth.py); what must still be
seen then is bold, underlined or reversed.
"""

from prompt_toolkit.styles import Style

__all__ = ["STYLE"]

STYLE = Style.from_dict(
    {
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
        "toolbar.name": "bold",
        "toolbar.running": "",
        "toolbar.stopped": "bold",
        "auto-suggestion": "ansibrightblack",
    }
)
