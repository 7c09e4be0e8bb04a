"""What becomes of one client command, from the rules to the record.

decision.py is the generator around a plan, and plan_run.py plays it against replies as they arrive. beside.py answers the
proxy's own two QMP commands (own_commands.py), one of which rehearses a plan; explain.py shows a rehearsal.
"""
