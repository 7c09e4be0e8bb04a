"""What the audit records about a command, in which form, and what is masked in it.

audit.py has the record as a value, and makes it from what was seen; audit_form.py spells it as JSON. Then excerpt.py bounds the
texts that clients choose, and redaction.py masks what is confidential (confidential.py), in this order. identity.py says whose
tool a client is, and passwords.py finds secrets in command lines.
"""
