"""QEMU's human monitor as a program at its other end sees it, without I/O: bytes in, bytes and commands out.

A person with a terminal, `socat`, an expect script and an old tool that cuts its answers at `(qemu) ` all talk to the same
thing: `-monitor unix:…`. What they see is not HMP's text alone. The monitor echoes what is typed, and redraws the line for each
byte; it has a history and completion for everybody, pipe or terminal. So this monitor behaves like QEMU's, byte for byte; only
running a command is left to somebody else: human-monitor-command, or what stands in for it.

From the bottom up: keys.py says which key a byte is, history.py what was typed before, and line_editor.py what the screen gets
for it; completion.py has what TAB does, and command_table.py the names of the commands; local_commands.py has what a monitor
answers by itself. monitor_state.py is what stays when a client goes, as in QEMU, and dialogue.py is one connection.

**The contract.** `state = MonitorState(version)`, one per monitor and run of QEMU; `Dialogue(state)` for each connection, one
at a time, which begins with the banner. The driver

1. feeds it what comes: `receive(data)`, and `receive_eof()` when the client sends no more. It reads from the client only while
   `wants_more`, so that no more than one read is kept;
2. calls `next_event()`, writes `data_to_send()` and waits until that has left;
3. does what the event says. A `CommandEntered` is run, and ended with `reply(text)`, or with `reply_password_prompt()` if it is
   `change vnc password` without one. A `PasswordEntered` is ended with `reply(text)`. A `CompletionRequest` is answered with
   `complete(candidates)`; the names of commands are `command_names(help_text)`. Until then nothing more is read, and the input
   waits, as QEMU's does in the socket's buffer;
4. if there is no event, goes on at 2 while `has_input`, closes if `is_finished`, and otherwise waits for more.

A step (2) takes a few milliseconds, and produces at most 100 kB of output, except for what is asked for: long lists, `info
history`. When a client hangs up, drop its Dialogue. If one of its commands still runs, `state.is_suspended` stays set; when
that command ends, call `reply` of the Dialogue that is there by then, or else `state.resume(text)`.

**Texts** are HMP's: their lines end with CR LF, as human-monitor-command returns them. To find a prompt, look for `(qemu) ` as
the last bytes, not after a line end: some hints of QEMU 11.1 lack theirs.

**What is not here:** telnet, which QEMU's character devices speak below the monitor (proxy/net/telnet.py); `-serial mon:stdio`
with its Ctrl-A keys, which shares a connection with a serial line; what a command does; and which arguments it takes, on which
their candidates depend.

tests/integration/human_monitor/test_human_monitor_on_qemu.py types at random into a real monitor and into this one.
"""
