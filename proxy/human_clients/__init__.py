"""Clients of the proxy's own human monitor: what they type becomes QMP, and what comes back becomes what HMP shows.

human_stream.py is the stream of one: to the relay it is a stream like those of QMP's clients (proxy/net/stream.py), and to the
client a monitor (proxy/human_monitor/). What QEMU is asked for a line is in typed_commands.py, and for a TAB in candidates.py:
steps (steps.py) that the stream takes one after the other. succession.py hands what a monitor keeps from one client to the
next. Which listeners have such clients is chosen in proxy/client_streams/.
"""
