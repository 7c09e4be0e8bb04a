"""One connection to QEMU for as long as that is there, with a relay only while somebody needs one."""
