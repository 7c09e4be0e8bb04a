"""What becomes of one command of a client, from the rules to the record.

decision.py is the generator around a plan, and plan_run.py plays it against replies as they come. beside.py answers the two QMP
commands of the proxy's own (own_commands.py), one of which rehearses a plan; explain.py shows a rehearsal.
"""
