"""QEMU's human monitor as a program at its other end sees it, without I/O: bytes in, bytes and commands out.

A person with a terminal, `socat`, an expect script and an old tool that cuts its answers at `(qemu) ` all talk to the same
thing: `-monitor unix:…`. What they see is not HMP's text alone. The monitor echoes what is typed, and redraws the line for each
byte of it; it has a history, and completion, for everybody, pipe or terminal. So a monitor of ours is QEMU's, byte for byte,
and only what runs a command is somebody else's: human-monitor-command, or what stands in for it.

From the bottom up: keys.py tells which key a byte is, history.py what was typed before, line_editor.py what the screen gets
for it; completion.py has what TAB does, and command_table.py the names of the commands; local_commands.py has what a monitor
answers by itself. monitor_state.py is what stays when a client goes, as it does in QEMU, and dialogue.py is one connection.

**The contract.** `state = MonitorState(version)`, one per monitor and run of QEMU; `Dialogue(state)` for each connection, one
at a time, which begins with the banner. The driver

1. gives it what comes: `receive(data)`, and `receive_eof()` when the client has sent its last. It reads from the client while
   `wants_more`, so that no more is kept than one read;
2. calls `next_event()`, writes `data_to_send()` and waits until that has left;
3. does what the event says. A `CommandEntered` is run, and ended with `reply(text)`, or with `reply_password_prompt()` if it is
   `change vnc password` without one. A `PasswordEntered` is ended with `reply(text)`. A `CompletionRequest` is answered with
   `complete(candidates)`; the names of commands are `command_names(help_text)`. Until then nothing more is read, and the input
   waits, as QEMU's does in the socket's buffer;
4. without an event goes on at 2 while `has_input`, closes if `is_finished`, and else waits for more.

A step (2) costs a few milliseconds, and no more than 100 kB of output but for what is asked for: long lists, `info history`.
A client that hangs up takes its Dialogue with it, and what was kept. A command of its that still runs leaves
`state.is_suspended`; end that with `reply` of the Dialogue that is there when it has ended, or else `state.resume(text)`.

**Texts** are HMP's: lines end with CR LF, and human-monitor-command returns them so. A prompt is `(qemu) ` as the last bytes,
not after a line's end: hints of QEMU 11.1 lack theirs.

**What is not here:** telnet, which QEMU's character devices speak below the monitor (proxy/net/telnet.py); `-serial mon:stdio`
with its Ctrl-A keys, which shares a connection with a serial line; what a command does; and which arguments it takes, which
decides the candidates for them.

tests/integration/human_monitor/test_human_monitor_on_qemu.py types at random into a real monitor and into this one.
"""
