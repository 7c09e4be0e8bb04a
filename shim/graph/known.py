"""What a connection has learned of its QEMU and may go on believing, so that it need not be asked again.

Each entry stands beside the reason why it cannot have become wrong. All else, above all nodes and tags, is asked for every
time, because another monitor may have changed it.

**The wiring** (shim/graph/wiring.py) is kept together with the answer to `x-debug-query-block-graph` of which it was made, and
is used only while that query, which is still asked every time, gives the same again. Nodes, edges and their order are in that
answer, so they need no argument. `query-block` adds which device a backend belongs to, and whether its medium is removable:

* Media may come and go, nodes be reopened, inserted or renamed by QEMU: none of it changes a backend's device. A node's own
  facts (read-only, driver, file, tags) are not in the wiring at all.
* A backend that comes or goes changes the list of backends in the answer. The ids in it are counted anew for each answer, so
  equal answers describe equal graphs, whatever had an id before.
* A backend without a name is made by its device, goes with it, and is called by the device's id or path in the answer.
* A `-drive` has a name of its own and may wait without a device. To get one need not show in the answer: with share-rw=on a
  virtio disk asks for the permissions that the waiting drive has. So a wiring with a root that waits for its device is not
  kept.
* A device that goes and one that takes its id, its drive and its place, but is of another kind (a usb-storage with
  removable=on): the answer may be the same. But a device that was there goes with DEVICE_DELETED (device_finalize, since
  1.5), sent to every monitor before any later answer. So that event makes the wiring forgotten, also one that is just being
  learned.
* The graph is asked for before `query-block`. What changes between the two then shows in the next answer, by the points
  above.

**That the machine was loaded and has not run since** is known of the loads that this connection saw begin. What makes it wrong
is told: a machine that runs sends RESUME, to every monitor.

Seen on QEMU 5.2 to 11.1. **Preconfig** is over once `query-jobs` was answered, and never comes back. **Record/replay** is
chosen on QEMU's command line; where it is off, it stays off.
"""

from collections.abc import Iterable

from shim.graph.wiring import Wiring
from shim.qmp import JSON, Execute

__all__ = ["Known"]


class Known:
    """The knowledge of one connection; another connection needs another one.

    Whoever drives the connection calls `receive_event` for each event, in order with the replies.
    """

    def __init__(self) -> None:
        self.is_past_preconfig = False
        self.is_without_replay = False
        # A load was sent, and since then the machine has not run. Whoever sends one that fails sets it back.
        self.is_loaded = False
        # Changes with each device that goes.
        self.epoch = 0
        self._graph_reply: JSON = None
        self._wiring: Wiring | None = None

    def receive_event(self, name: str) -> None:
        if name == "DEVICE_DELETED":
            self.epoch += 1
            self._graph_reply = self._wiring = None
        elif name == "RESUME":
            self.is_loaded = False

    def note_sent(self, commands: Iterable[Execute]) -> None:
        """Note what QEMU is about to get, before any event that comes of it."""
        self.is_loaded |= any(command.command == "snapshot-load" for command in commands)

    def wiring(self, graph_reply: JSON) -> Wiring | None:
        """Find the wiring that belongs to this answer to `x-debug-query-block-graph`, if it is known."""
        return self._wiring if self._graph_reply is not None and self._graph_reply == graph_reply else None

    @property
    def has_wiring(self) -> bool:
        return self._wiring is not None

    def learn_wiring(self, graph_reply: JSON, wiring: Wiring, *, since: int) -> None:
        """Keep a wiring, if it may be kept. since: the epoch in which the graph was asked for."""
        waits = any(backend.device and not backend.qdev for backend in wiring.backends)
        if since == self.epoch and not waits:
            self._graph_reply, self._wiring = graph_reply, wiring
