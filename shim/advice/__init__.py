"""What a person can do where a command would fail, with the very lines to type.

obstacles.py finds what is in the way of every snapshot, inventory.py which snapshots cannot be loaded, and advice.py what one
planned command runs into. ways.py spells the ways out, by the facts in vm_facts.py.
"""
