"""Where passwords and other secrets stand in commands, HMP's lines and QMP's as they were typed, for whoever keeps commands.

It looks at the text and not at what QEMU would read, because a line that is wrong, or pasted in part, holds its secret too. A
line too many is taken for one with a secret rather than one too few.
"""

import re
from typing import Final

__all__ = ["COMMANDS", "holds_secret"]

# HMP's commands with a secret, for whoever looks for one that is misspelled. block_passwd went with QEMU 6.1.
COMMANDS: Final = ("set_password", "block_passwd", "change", "object_add", "qom-set")

_SECRET: Final = re.compile(
    "|".join(
        (
            # The content of a `secret` object (qapi/crypto.json, SecretProperties), in either order, as key=value or JSON.
            r"\bsecret\b.*\bdata\b[\"']?\s*[:=]\s*[\"']?[^\s\"',}]",
            r"\bdata\b[\"']?\s*[:=]\s*[\"']?[^\s\"',}].*\bsecret\b",
            # ... and set later.
            r"\bqom-set\b.*\b(?:data|passw(?:or)?d)\b",
            # qapi/ui.json: set_password, change-vnc-password. `password-secret` and `passwordid` name an object.
            r"\bpassw(?:or)?d[\"']?\s*[:=]\s*[\"']?[^\s\"',}]",
            r"\bset_password\s+\S+\s+[^\s\"'}]",
            r"\bblock_passwd\s+\S+\s+[^\s\"'}]",
            r"\bchange\s+\S+\s+passw(?:or)?d\s+[^\s\"'}]",
            # QMP's own `change`, up to QEMU 5.2.
            r"\bpassw(?:or)?d\b.*\barg\b[\"']?\s*[:=]",
            # An HTTP session (qapi/block-core.json, BlockdevOptionsCurlHttp).
            r"\bcookie[\"']?\s*[:=]\s*[\"']?[^\s\"',}]",
            # A disk by a URL with a password: ssh, http and others have a colon before it, iscsi has a percent sign.
            r"://[^\s/@\"']*[:%][^\s/@\"']+@",
        )
    ),
    re.DOTALL,
)


def holds_secret(text: str) -> bool:
    """Tell whether a text that is, or has in it, a command of HMP or QMP holds a password or the content of a secret."""
    return _SECRET.search(text) is not None
