"""What a wrapper around QEMU must know of QEMU's command line, without I/O.

A wrapper is started in QEMU's place. It serves the monitors that the command line asks for, and runs the real QEMU with these
monitors moved to socket pairs of its own. So it has to read the command line exactly as QEMU does: which monitors there are,
what they are called, and where their clients are. What it reads differently is a monitor that nobody serves, or an error of
QEMU's that nobody sees.

From the bottom up: options.py walks the words, opts.py reads option strings, config_file.py files for `-readconfig`, and
chardevs.py character devices. setup.py takes a whole command line apart, monitors.py finds its monitors, endpoints.py says for
each who can serve it, and command_line.py what the command line as a whole comes to. rewriting.py has the words with which
QEMU is started instead, and loadvm.py those without `-loadvm`.

**In doubt nothing is changed.** A command line that QEMU refuses goes to QEMU as it came: then the error is QEMU's own, word
for word. That goes for every option of a monitor's device that is known to be wrong. `reconnect` and `reconnect-ms` are taken
for right, though each is wrong for some versions.

**What is not covered** is left to QEMU, and said in one line: monitors on a pseudo-terminal, a file, a pipe or UDP, with TLS or
WebSocket, on an abstract socket, on a virtual console that somebody can look at, on a device that others share (`mux=on`, which
`-nographic` and `mon:` make), or on one that a configuration file makes. Invisible are the monitors of gdb stubs, those made at
run time, and what QEMU's own default file (/etc/qemu/qemu.conf) may say.

Everything here was asked of QEMU 7.2, 10.0 and 11.1, and most of it of 5.2 and 8.2 too.
tests/integration/wrapping/test_qemu_command_line_on_qemu.py asks again.
"""
