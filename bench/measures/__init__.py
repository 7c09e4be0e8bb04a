"""What is measured, with a module for each subject. All of it is measured on whole processes, within one run.

workloads.py compares the relays; real.py does so on a real QEMU, and times its snapshot commands; survey.py does that for VMs
with many disks. costs.py, host.py and neighbours.py are about the proxy's process, wrapper.py, prompt.py and audit.py about the
other programs. timing.py has what they share.
"""
