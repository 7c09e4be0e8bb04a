"""What savevm, loadvm, delvm and `info snapshots` do with QMP's commands and jobs.

plan.py says what a plan is, and survey.py begins each. snapshot_plans.py has all but savevm, which is saving.py; both play jobs
by jobs.py and ask about tags by tags.py. intent.py and recovery.py are for a process that is killed in between. rehearsal.py
plays a plan without doing anything; foretelling.py says how QEMU's own checks would end.
"""
