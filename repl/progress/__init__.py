"""How far a save or load is, and whom the prompt waits for, while QEMU says nothing.

While a snapshot job or HMP's own savevm runs, QEMU's main loop does nothing else: every in-band command of every monitor waits
until it ends, `query-jobs` among them, which knows no more than 0 of 1 and 1 of 1 (seen in QEMU 7.2, 10.0 and 11.1). So nothing
here asks QEMU. What is known comes from elsewhere:

* beforehand, from QEMU: the VM's RAM, the size of the newest VM state in its images, and of the one that is loaded;
* beforehand, from the audit log: how long the last such command took;
* meanwhile, from this machine: how much the image files have grown and how much QEMU has written or read (proc(5), io), where
  QEMU is here and may be looked at. Into clusters that an earlier deletion has freed a save writes without any growth;
* meanwhile, from a proxy's control socket: whose command runs.

    work                what the commands under way come down to
    estimate            times and bytes in, text out
    traffic, earlier    the looks at files, which may hang
    aside               a look on a thread of its own, so that the loop never waits for it
    meter               these together, for the command under way
    silence, others     since when QEMU owes an answer, and whom a command waits for where it is not at work itself

An estimate is called one: "about" where an earlier state or save is the measure, "at least" and "at most" where only the RAM
is, because a state has no more than that. Where nothing is known, nothing is said.
"""
