"""Tools that start QEMU by themselves, on UEFI VMs: natively they cannot save, with the wrapper under QEMU's name they can."""

from typing import Final

import pytest

from tests.integration.tools.tool_clients import (
    TOOLS,
    Multipass,
    Opened,
    Opener,
    RefusedError,
    close_after_echo,
    fire_and_forget,
    gns3,
    lima,
    socat_script,
    syzkaller,
    utm,
)
from tests.integration.tools.tool_host import (
    FIRST,
    NEXT,
    SLOW_DISK,
    VARSTORES,
    Ask,
    ToolHost,
    changing_byte,
    mark,
    tool_host,
    write,
    write_long,
)
from tests.integration.uefi_machine import DISK
from tests.integration.waiting import until
from tests.support.raw_client import DEADLINE_S

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

BLOCKED: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
EVERY_TOOL: Final = pytest.mark.parametrize("opener", TOOLS.values(), ids=TOOLS)
# On a slow machine a command may not have begun when its tool has been gone for a while, and is dropped then.
PATIENT: Final = "abandon_after = 600\nabandon_load_after = 600"
RESUMING: Final = {name: TOOLS[name] for name in ("gns3", "nixos-test-driver", "expect", "socat script", "lima", "utm")}


@EVERY_TOOL
def test_natively_a_raw_varstore_blocks_every_tool(opener: Opener) -> None:
    with tool_host(is_wrapped=False) as host:
        assert opener(host).ask("savevm t") == BLOCKED
        assert host.snapshots == []


@EVERY_TOOL
def test_tool_saves_loads_and_deletes(opener: Opener) -> None:
    """The guest's memory and the disk come back."""
    with tool_host(is_wrapped=True) as host:
        ask = opener(host).ask
        assert ask("stop") == ""
        write(ask, FIRST)
        byte = changing_byte(ask)
        assert ask("savevm t") == ""
        assert host.snapshots == [("t", True)]
        assert " t " in ask("info snapshots")
        write(ask, NEXT)
        assert ask("cont") == ""
        until(lambda: changing_byte(ask) != byte)
        assert ask("stop") == ""
        assert ask("loadvm t") == ""
        assert ask("info status").startswith("VM status: paused")
        assert changing_byte(ask) == byte
        assert ask("qemu-io d0 flush") == ""
        assert host.content[0] == FIRST
        assert ask("delvm t") == ""
        assert ask("info snapshots") == "There is no snapshot available.\r\n"
        assert host.snapshots == []
        saved = [record["action"] for record in host.records if record["command_line"] in ("savevm t", "loadvm t", "delvm t")]
        assert saved == ["rewritten"] * 3


def test_proxy_is_not_called_by_the_name_of_qemu() -> None:
    """Who looks for QEMU by its name (`pidof`, `killall`) finds the one."""
    with tool_host(is_wrapped=True) as host:
        assert gns3(host, "-name", str(host.folder)).ask("info status") == "VM status: running\r\n"
        assert host.process_names.count("hmp-proxy") == 1


def terminate(opened: Opened) -> None:
    """End QEMU as a tool does, in order."""
    opened.process.terminate()
    assert opened.process.wait(DEADLINE_S) == 0


def assert_whole(host: ToolHost, ask: Ask) -> None:
    """All is as it was in the first life: memory, disk and varstore, and the guest runs."""
    assert ask("info status").startswith("VM status: running")
    assert mark(ask) == FIRST
    byte = changing_byte(ask)
    until(lambda: changing_byte(ask) != byte)
    assert ask("qemu-io d0 flush") == ""
    assert host.content == (FIRST, FIRST)


@pytest.mark.parametrize("varstore", VARSTORES)
@pytest.mark.parametrize("opener", RESUMING.values(), ids=RESUMING)
def test_tool_resumes_by_loadvm_on_the_command_line(opener: Opener, varstore: str) -> None:
    with tool_host(is_wrapped=True, varstore=varstore) as host:
        opened = opener(host)
        write(opened.ask, FIRST)
        assert opened.ask("savevm t") == ""
        terminate(opened)
        host.spoil()
        opened = opener(host, "-loadvm", "t")
        if opener is utm:
            assert opened.ask("info status").startswith("VM status: paused")
            assert opened.ask("cont") == ""
        assert_whole(host, opened.ask)
        assert opened.ask("delvm t") == ""
        assert host.snapshots == []
        terminate(opened)


# --- multipass --------------------------------------------------------------------------------------------------------


def test_natively_multipass_waits_for_an_event_that_does_not_come() -> None:
    with tool_host(is_wrapped=False) as host:
        tool = Multipass(host, "compact")
        tool.send_hmp("savevm suspend")
        assert tool.receive() == {"return": BLOCKED}
        assert tool.ask("info status") == "VM status: running\r\n"


@pytest.mark.parametrize("varstore", VARSTORES)
@pytest.mark.parametrize("spelling", ["compact", "indented"])
def test_multipass_suspends_and_resumes(spelling: str, varstore: str) -> None:
    """It kills QEMU as soon as it hears that the guest runs again. What was saved is whole."""
    with tool_host(is_wrapped=True, varstore=varstore) as host:
        host.disk = SLOW_DISK
        tool = Multipass(host, spelling)
        write(tool.ask, FIRST)
        # Of two events in one read it would see the first.
        write_long(tool.ask)
        tool.send_hmp("savevm suspend")
        tool.kill_at_resume()
        assert host.snapshots == [("suspend", True)]
        host.spoil()
        host.disk = DISK
        tool = Multipass(host, spelling, "-loadvm", "suspend")
        assert_whole(host, tool.ask)
        assert tool.ask("delvm suspend") == ""
        assert host.snapshots == []


# --- Tools that do not read HMP's texts -------------------------------------------------------------------------------


def test_lima_hears_of_a_failure_that_is_a_qmp_error() -> None:
    """It takes every `return` for a success."""
    with tool_host(is_wrapped=True, settings='errors = "qmp"') as host:
        ask = lima(host).ask
        with pytest.raises(RefusedError, match=r"^Error: Snapshot 'none' does not exist in one or more devices$"):
            ask("loadvm none")
        assert ask("cont") == ""
        assert ask("savevm t") == ""


def test_syzkaller_loads_again_and_again() -> None:
    with tool_host(is_wrapped=True) as host:
        ask = syzkaller(host).ask
        write(ask, FIRST)
        assert ask("savevm syz") == ""
        for _ in range(20):
            write(ask, NEXT)
            assert ask("loadvm syz") == ""
            assert ask("qemu-io d0 flush") == ""
            assert host.content[0] == FIRST


# --- Tools that do not wait for the end -------------------------------------------------------------------------------


def test_gns3_closes_after_the_echo_and_looks_into_the_image() -> None:
    with tool_host(is_wrapped=True, settings=PATIENT) as host:
        opened = gns3(host)
        write(opened.ask, FIRST)
        close_after_echo(opened, "stop")
        close_after_echo(opened, "savevm GNS3_SAVED_STATE")
        until(lambda: host.snapshots == [("GNS3_SAVED_STATE", True)])
        terminate(opened)
        host.spoil()
        opened = gns3(host, "-loadvm", "GNS3_SAVED_STATE")
        assert_whole(host, opened.ask)


def test_quickemu_reads_nothing() -> None:
    with tool_host(is_wrapped=True, settings=PATIENT) as host:
        opened = socat_script(host, "-name", "vm1,process=vm1")
        write(opened.ask, FIRST)
        fire_and_forget(opened, "savevm t")
        until(lambda: host.snapshots == [("t", True)])
        write(opened.ask, NEXT)
        fire_and_forget(opened, "loadvm t")
        until(lambda: opened.ask("qemu-io d0 flush") == "" and host.content[0] == FIRST)
        fire_and_forget(opened, "delvm t")
        until(lambda: host.snapshots == [])
