"""What is written to disks, which the event loop does not wait for: a full, slow or stuck one delays only what must be on it.

disk_thread.py does such work on a thread, audit_writer.py has one for each audit log. scribe.py takes what one connection to
QEMU has to write, and has that wait for it which must not come before: an answer, or a plan.
"""
