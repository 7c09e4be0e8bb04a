"""What is put on record of a command, in which form, and what of it is masked.

audit.py has the record as a value and makes it of what was seen; audit_form.py spells it as JSON. excerpt.py bounds what
clients choose, and redaction.py masks what is confidential. identity.py and passwords.py are about the tools behind the
clients.
"""
