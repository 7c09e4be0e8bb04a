"""Sockets: streams, and the connection to QEMU. It knows bytes, file descriptors and addresses, and no client's command.

ends.py has the system calls of sockets and pipes, and stream.py reads and writes one connected stream with them; upstream.py
connects to QEMU as often as it is there, with qmp_connection.py to ask it who it is; attaching.py has it add a monitor;
sockets.py makes and tries the sockets that clients come to; descriptors.py and closing.py take care of what clients pass.

Two things decide what is written here:

* A relay is as quick as its reads. asyncio's own transports allocate 256 KiB for each read, which is a round trip through mmap
  and twice the latency of a small message, and its streams cost a task or a future for each. So stream.py reads with
  `add_reader` into one buffer that all streams share, and calls back with the bytes.
* File descriptors travel beside the bytes (SCM_RIGHTS, for `getfd` and `add-fd`) and must neither be lost nor kept: every path
  that drops a client's bytes closes what came with them. A close may take as long as a client likes, so closing.py does it on
  threads, also for sockets in which some may be unread; and what is read takes all that a message has, because the kernel would
  close the others inside the read.
"""
