"""What savevm, loadvm, delvm and `info snapshots` do with QMP's commands and jobs.

plan.py says what a plan is, and survey.py is how each begins. snapshot_plans.py has all but savevm, which is in saving.py; both
run jobs through jobs.py and look tags up through tags.py. snapshot_limit.py is about how many snapshots there may be. intent.py
and recovery.py are for a process that is killed in the middle. rehearsal.py plays a plan without doing anything; foretelling.py
predicts the result of QEMU's own checks. repairs.py has the values in which shim/advice/ says what is wrong and what to type.
"""
