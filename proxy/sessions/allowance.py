"""Which commands a client may send, without I/O: applies the rules of shim/rules/rules.py where its commands are read."""

import re
from typing import TYPE_CHECKING

from proxy.qmp_json.extent import TOO_MANY_BYTES
from proxy.qmp_json.framing import Command
from proxy.qmp_json.messages import MonitorFormat, generic_error
from proxy.qmp_json.shorten import may_stand_for_more
from proxy.sessions.requests import Asking, Denied, Request

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import ClientRules

__all__ = ["Allowance"]

# In a read of nothing but plain commands, this matches before each command's name and nowhere else (qmp_json/plain.py).
_PLAIN_NAME = rb'\{"execute": ?"'


class Allowance:
    """Judge the commands of one client. rules: None where it may send everything; check that before you ask."""

    def __init__(self, monitor_format: MonitorFormat) -> None:
        self._format = monitor_format
        self.rules: ClientRules | None = None
        # The names of commands that it is known to be allowed, and a pattern that finds any other name in a read.
        self._known_names: frozenset[bytes] = frozenset()
        self._other_name = re.compile(_PLAIN_NAME)

    def allows_plain(self, data: bytes) -> bool:
        """Return whether all commands of a read are known to be allowed, provided that they are plain."""
        if self.rules is not None and self._known_names is not self.rules.allowed_names:
            self._known_names = self.rules.allowed_names
            self._other_name = re.compile(_PLAIN_NAME + rb'(?!(?:%s)")' % b"|".join(map(re.escape, self._known_names)))
        return self._other_name.search(data) is None

    def judged(self, request: Asking, command: Command) -> Request:
        """Return the request, or a Denied in its place.

        If the command was cut, and its id may have been lost with that, the answer is an error without an id.
        """
        message = command.message
        if self.rules is None or (verdict := self.rules.judge(message, is_cut=command.is_cut)).is_allowed:
            return request
        if command.is_cut and may_stand_for_more(message.get("id")):
            return Denied(self._format.spell_reply(generic_error(TOO_MANY_BYTES), {}), request, verdict)
        return Denied(self._format.spell_reply(generic_error(verdict.text), message), request, verdict)
