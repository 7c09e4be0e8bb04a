"""Commands that need not be decoded, told by one regular expression."""

import re

__all__ = ["MOST_PLAIN_BYTES", "PLAIN"]

# Commands without arguments that mean nothing to the proxy, as most programs spell them, one or many. Nothing in them repeats
# a key or needs decoding, and each has one brace. Left out is what the proxy acts upon: HMP, the jobs that it hides from
# query-jobs, the negotiation, a descriptor that must travel with its own command, and the proxy's own two commands.
PLAIN = re.compile(
    rb'(?:\{"execute": ?"(?!(?:human-monitor-command|query-jobs|qmp_capabilities|getfd|add-fd)"|__hmpshim_)[A-Za-z0-9_-]+"'
    rb'(?:, ?"id": ?(?:"[ !#-\[\]^-z|~]*"|[1-9][0-9]{0,17}))?\}\r?\n?)+'
)
# A repeated group costs memory for each repetition: 15 bytes for each byte of this.
MOST_PLAIN_BYTES = 64 * 1024
