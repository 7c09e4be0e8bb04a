"""Sockets: streams, and the connection to QEMU. This package knows bytes, file descriptors and addresses, but no commands.

ends.py has the system calls on sockets and pipes, and stream.py reads and writes one connected stream with them. tls.py and
telnet.py have the ends for TLS and telnet, certificates.py the TLS contexts. upstream.py connects to QEMU, each time that it is
there, and qmp_connection.py negotiates with it; attaching.py has QEMU add a monitor for us. sockets.py makes and probes the
sockets that clients connect to; descriptors.py and closing.py take care of the descriptors that clients pass.

Two things shape the code here:

* A relay is as fast as its reads. asyncio's own transports allocate 256 KiB for each read, which costs an mmap and an munmap
  and doubles the latency of a small message, and its streams cost a task or a future for each. So stream.py reads with
  `add_reader` into one buffer that all streams share, and calls back with the bytes.
* File descriptors travel beside the bytes (SCM_RIGHTS, for `getfd` and `add-fd`) and must be neither lost nor leaked: every
  path that drops a client's bytes closes the descriptors that came with them. A close may take as long as a client likes, so
  closing.py closes on threads, including sockets that may hold unread descriptors. And a read takes all descriptors of a
  message, because the kernel would close the others inside the read.
"""
