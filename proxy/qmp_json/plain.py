"""Recognise commands that need not be decoded, with one regular expression."""

import re

__all__ = ["MOST_PLAIN_BYTES", "PLAIN"]

# One or more commands without arguments that mean nothing to the proxy, as most programs spell them. None repeats a key or
# needs decoding, and each has one opening brace. Excluded is what the proxy acts upon: HMP, query-jobs (which hides our jobs),
# the negotiation, commands with which a descriptor must travel, and the proxy's own two commands.
PLAIN = re.compile(
    rb'(?:\{"execute": ?"(?!(?:human-monitor-command|query-jobs|qmp_capabilities|getfd|add-fd)"|__hmpshim_)[A-Za-z0-9_-]+"'
    rb'(?:, ?"id": ?(?:"[ !#-\[\]^-z|~]*"|[1-9][0-9]{0,17}))?\}\r?\n?)+'
)
# A repeated group costs memory for each repetition: 15 bytes for each byte of input.
MOST_PLAIN_BYTES = 64 * 1024
