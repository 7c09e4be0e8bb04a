"""Two queues beside the FIFO of replies: commands out of band, and file descriptors on their way to QEMU. Without I/O."""
