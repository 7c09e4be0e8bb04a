"""Writing to disks without the event loop waiting for them: a full, slow or stuck disk delays only what must be on it first.

disk_thread.py does such work on a thread; audit_writer.py has one such thread for each audit log. scribe.py empties the outbox
of one connection to QEMU: it has records and notes written, and makes what depends on them wait, an answer for its record and a
plan for its note (an intent, or the record that its command is about to run).
"""
