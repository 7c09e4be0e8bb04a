"""What a person can do when a command would fail, with the exact lines to type.

obstacles.py finds what is in the way of every snapshot, inventory.py which snapshots cannot be loaded, and advice.py what one
planned command runs into. ways.py words the ways out, using the facts from vm_facts.py.
"""
