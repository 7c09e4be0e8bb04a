"""How far a save or load is, and whom the prompt waits for, while QEMU does not answer.

While a snapshot job or HMP's own savevm runs, QEMU's main loop does nothing else: every in-band command of every monitor waits
until it ends, including `query-jobs`, which only ever reports 0 of 1 or 1 of 1 (seen in QEMU 7.2, 10.0 and 11.1). So nothing
here asks QEMU meanwhile. What is known comes from elsewhere:

* beforehand, from QEMU: the VM's RAM, the size of the newest VM state in its images, and of the one that is loaded;
* beforehand, from the audit log: how long the last such command took;
* meanwhile, from this machine: how much the image files have grown and how much QEMU has written or read (proc(5), io), if QEMU
  runs here and may be inspected. A save into clusters that an earlier deletion has freed does not make a file grow;
* meanwhile, from a proxy's control socket: whose command is running.

    work                whether the commands under way are a save or a load
    estimate            times and bytes in, text out
    traffic, earlier    looks at files, which may hang
    aside               a look on a thread of its own, so that the loop never waits for it
    meter               these together, for the command under way
    silence, others     since when QEMU owes an answer, and whom a command waits for if it is not running itself

An estimate is marked as one: "about" if it is based on an earlier state or save, "at least" and "at most" if it is based on the
RAM, which a state cannot exceed. If nothing is known, nothing is said.
"""
