"""What a wrapper around QEMU must know of QEMU's command line, without I/O.

A wrapper is started in QEMU's place. It serves the monitors that the command line asks for, and runs the real QEMU with these
monitors moved to socket pairs of its own. So it has to read the command line exactly as QEMU does: which monitors there are,
what they are called, and where their clients are. Any difference is a monitor that nobody serves, or an error of QEMU's that
nobody sees.

From the bottom up: options.py walks the words, opts.py parses option strings, config_file.py files for `-readconfig`, and
chardevs.py character devices. setup.py takes a whole command line apart, monitors.py finds its monitors, endpoints.py decides
for each who can serve it, and command_line.py what that means for the command line as a whole. rewriting.py makes the words
with which QEMU is started instead, and loadvm.py those without `-loadvm`.

**If in doubt, nothing is changed.** A command line that QEMU refuses goes to QEMU as it came: then the error is QEMU's own,
word for word. That applies to every option of a monitor's device that is known to be wrong. Without a version, `reconnect` and
`reconnect-ms` are both accepted, though each is wrong for some versions.

**What is not covered** is left to QEMU, and reported in one line: monitors on a pseudo-terminal, a file, a pipe or UDP, with
TLS or WebSocket, on an abstract socket, on a virtual console that somebody can look at, on a device that others share
(`mux=on`, which `-nographic` and `mon:` imply), or on one that a configuration file defines. Some monitors cannot be seen at
all: those of gdb stubs, those created at run time, and those in QEMU's own default file (/etc/qemu/qemu.conf).

Everything here was checked against QEMU 7.2, 10.0 and 11.1, and most of it against 5.2 and 8.2, too.
tests/integration/wrapping/test_qemu_command_line_on_qemu.py checks it again.
"""
