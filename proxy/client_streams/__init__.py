"""The forms in which clients are served: each listener's clients get one kind of stream.

choice.py chooses it. For QMP it is a plain Stream (proxy/net/stream.py), or a PrettyStream (pretty_stream.py), which writes QMP
as QEMU's `-qmp-pretty` does. For a client at HMP's prompt it is a HumanStream (proxy/human_clients/). The rest of the proxy
reads and writes all of them alike.
"""
