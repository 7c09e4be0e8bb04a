"""In which form a client is served: which stream it has, listener by listener.

choice.py chooses. A stream of QMP is a plain one (proxy/net/stream.py), or that of pretty_stream.py, which writes QMP as QEMU's
`-qmp-pretty` does; that of a client at HMP's prompt is in proxy/human_clients/. What is behind the stream knows no difference.
"""
