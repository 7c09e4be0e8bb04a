"""One connection to QEMU for as long as QEMU is there, with a relay only while somebody needs one.

attendance.py has the connection. Without clients it rests (resting.py): what QEMU says is read and dropped. For a moment after
connecting, and from the first client on, it has a relay (proxy/relaying/). VMProxy makes one Attendance for each connection,
waits for its `lost`, and passes clients to `add_client`.
"""
