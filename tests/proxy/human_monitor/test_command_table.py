"""The names of HMP's commands, from excerpts of what QEMU 7.2 prints; 5.2 has `c|cont`."""

from proxy.human_monitor.command_table import command_names, topic_names

HELP = """announce_self [interfaces] [id] -- Trigger GARP/RARP announcements
block_job_cancel [-f] device -- stop an active background block operation (use -f
\t\t\t if you want to abort the operation immediately
\t\t\t instead of keep running until data is in sync)
closefd closefd name -- close a file descriptor previously passed via SCM rights
cont|c  -- resume emulation
drive_add [-n] [[<domain>:]<bus>:]<slot>
[file=file][,if=type][,bus=n]
[,unit=m][,media=d][,index=i]
[,snapshot=on|off][,cache=on|off]
[,readonly=on|off][,copy-on-read=on|off] -- add drive to PCI storage controller
help|? [cmd] -- show the help
info [subcommand] -- show various information about the system state
snapshot_blkdev_internal device name -- take an internal snapshot of device.
\t\t\tThe format of the image used by device must
\t\t\tsupport it, such as qcow2.
\t\t\t
x /fmt addr -- virtual memory dump starting at 'addr'
""".replace("\n", "\r\n")

HELP_INFO = """info balloon  -- show balloon information
info block [-n] [-v] [device] -- show info of one block device or all block devices (-n: show named nodes; -v: show details)
info stats target [names] [provider] -- show statistics for the given target (vm or vcpu); optionally filter by
\t\t\tname (comma-separated list, or * for all) and provider
info usb  -- show guest USB devices
""".replace("\n", "\r\n")


def test_commands_in_the_order_of_the_table() -> None:
    assert command_names(HELP) == [
        *("announce_self", "block_job_cancel", "closefd", "cont", "c", "drive_add", "help", "?", "info"),
        *("snapshot_blkdev_internal", "x"),
    ]
    assert command_names("c|cont  -- resume emulation\r\n") == ["c", "cont"]


def test_topics() -> None:
    assert topic_names(HELP_INFO) == ["balloon", "block", "stats", "usb"]


def test_text_without_entries() -> None:
    assert command_names("") == topic_names("") == []
    assert command_names("unknown command: 'help'\r\n") == ["unknown"]
