"""Clients of the proxy's own human monitor: what they type becomes QMP, and the replies become what HMP would show.

human_stream.py is one client's stream. To the relay it is a stream like those of QMP clients (proxy/net/stream.py), and to the
client it is a monitor (proxy/human_monitor/). What QEMU is asked for a line is in typed_commands.py, and for a TAB in
candidates.py: generators of steps (steps.py) that the stream takes one after the other. succession.py hands what a monitor
keeps from one client to the next. proxy/client_streams/ chooses which listeners have such clients.
"""
