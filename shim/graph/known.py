"""What a connection has learned about its QEMU and may keep, so that it need not ask again.

Each fact below comes with the reason why it cannot have become wrong. Everything else, above all nodes and tags, is queried
every time, because another monitor may have changed it.

**The wiring** (shim/graph/wiring.py) is kept together with the reply to `x-debug-query-block-graph` from which it was made, and
is used only while that query, which is still sent every time, returns the same again. Nodes, edges and their order are in that
reply, so they cannot be stale. `query-block` adds which device a backend belongs to, and whether its medium is removable:

* Media may come and go, and QEMU may reopen, insert or rename nodes: none of this changes a backend's device. A node's own
  facts (read-only, driver, file, tags) are not in the wiring at all.
* A backend that comes or goes changes the list of backends in the reply. QEMU numbers the ids anew for each reply, so equal
  replies describe equal graphs, whatever had an id before.
* A backend without a name is made by its device, goes with it, and appears under the device's id or path in the reply.
* A `-drive` has a name of its own and may wait without a device. When it gets one, the reply need not change: with share-rw=on
  a virtio disk asks for the permissions that the waiting drive already has. So a wiring with a root that waits for its device
  is not kept.
* A device may be replaced by one with the same id, drive and place but of another kind (a usb-storage with removable=on), and
  the reply may stay the same. But a device that goes sends DEVICE_DELETED (device_finalize, since 1.5) to every monitor before
  any later reply. So that event discards the wiring, including one that is just being learned.
* The graph is queried before `query-block`. What changes between the two then shows in the next reply, by the points above.

**That the machine was loaded and has not run since** is known for the loads that this connection saw begin. What would make it
wrong is announced: a machine that runs sends RESUME to every monitor.

**What is being unplugged** (shim/graph/unplugs.py) is known of what this connection was asked to unplug.

No query tells these two, so they go along when another process goes on with the connection.

Seen on QEMU 5.2 to 11.1. **Preconfig** is over once `query-jobs` was answered, and never comes back. **Record/replay** is
chosen on QEMU's command line; where it is off, it stays off.
"""

from collections.abc import Iterable, Mapping

from shim.graph.unplugs import Unplugs
from shim.graph.wiring import Wiring
from shim.qmp import JSON, Execute

__all__ = ["Known"]


class Known:
    """What one connection knows; each connection needs its own.

    The driver of the connection calls `receive_event` for each event, in order with the replies.
    """

    def __init__(self) -> None:
        self.is_past_preconfig = False
        self.is_without_replay = False
        # Whether a load was sent since the machine last ran. Whoever sends a load that fails restores the value from before.
        self.is_loaded = False
        self.unplugs = Unplugs()
        # Changes with each device that goes.
        self.epoch = 0
        self._graph_reply: JSON = None
        self._wiring: Wiring | None = None

    def receive_event(self, name: str, data: Mapping[str, JSON]) -> None:
        """Note an event. data: `{}` for an event without."""
        self.unplugs.receive_event(name, data)
        if name == "DEVICE_DELETED":
            self.epoch += 1
            self._graph_reply = self._wiring = None
        elif name == "RESUME":
            self.is_loaded = False

    def note_sent(self, commands: Iterable[Execute]) -> None:
        """Note what QEMU is about to get. Call this before any event that the commands cause."""
        self.is_loaded |= any(command.command == "snapshot-load" for command in commands)

    def to_members(self) -> dict[str, JSON]:
        """Return what no query tells, for another process that goes on with the connection."""
        return {"is_loaded": self.is_loaded, "unplugs": self.unplugs.to_members()}

    def learn(self, members: Mapping[str, JSON]) -> None:
        """Know what `to_members` of an earlier process returned; nothing if it did not say."""
        self.is_loaded = bool(members.get("is_loaded"))
        self.unplugs.learn(members.get("unplugs", {}))

    def wiring(self, graph_reply: JSON) -> Wiring | None:
        """Return the wiring that belongs to this reply to `x-debug-query-block-graph`; None if it is not known."""
        return self._wiring if self._graph_reply is not None and self._graph_reply == graph_reply else None

    @property
    def has_wiring(self) -> bool:
        return self._wiring is not None

    def learn_wiring(self, graph_reply: JSON, wiring: Wiring, *, since: int) -> None:
        """Keep a wiring if that is safe. since: the epoch in which the graph was queried."""
        waits = any(backend.device and not backend.qdev for backend in wiring.backends)
        if since == self.epoch and not waits:
            self._graph_reply, self._wiring = graph_reply, wiring
