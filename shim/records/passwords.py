"""Passwords and other secrets in commands as they were typed, HMP's and QMP's, for whoever stores commands.

It looks at the text and not at what QEMU would read, because a line that is wrong, or pasted in part, contains its secret too.
When in doubt, a line counts as one with a secret.
"""

import re
from typing import Final

__all__ = ["COMMANDS", "WORDS", "holds_secret", "makes_secret"]

# The commands that take a secret, to recognize misspelled ones, and QMP's that are typed as HMP. QEMU 6.1 removed block_passwd.
COMMANDS: Final = ("set_password", "block_passwd", "change", "change-vnc-password", "object_add", "object-add", "qom-set")
# What tells a secret, for whoever looks for words that are misspelled.
WORDS: Final = ("secret", "data", "password", "passwd", "cookie", "object-add", "object_add")

_OBJECT: Final = re.compile(r"\bobject[-_]add\b")
_TYPE: Final = re.compile(r"\bsecret(?:_\w+)?\b")
# How a word of HMP begins that is a secret. One with blanks is in quotes; a quote may also end the JSON string around the line.
_HMP_VALUE: Final = r"(?:[^\s\"'}]|[\"'][^\s\"'},])"
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
            rf"\bset_password\s+\S+\s+{_HMP_VALUE}",
            rf"\bblock_passwd\s+\S+\s+{_HMP_VALUE}",
            # There may be an option between the words.
            rf"\bchange\s+(?:\S+\s+){{1,3}}[\"']?passw(?:or)?d[\"']?\s+{_HMP_VALUE}",
            rf"\bchange[-_]vnc[-_]password\s+{_HMP_VALUE}",
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
    """Return whether a text with an HMP or QMP command contains a password or the content of a secret."""
    return _SECRET.search(text) is not None


def makes_secret(text: str) -> bool:
    """Tell whether it is a command that makes a `secret` object, whatever its keys: one that is misspelled has a value, too."""
    return _OBJECT.search(text) is not None and _TYPE.search(text) is not None
