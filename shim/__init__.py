"""What hmpshim knows: HMP's syntax and texts, QEMU's block graph, and the QMP jobs that a legacy command becomes.

Nothing in this package does I/O or reads a clock; time, ids and randomness are arguments. So one plan serves the proxy, the
prompt, `hmp-proxy plan` and the tests, and each of them decides for itself how to wait.

    hmp/        HMP as a language: lines, texts, and the QMP that does the same
    graph/      the block nodes of a VM, and the policy that chooses among them
    plans/      what savevm, loadvm, delvm and `info snapshots` do
    records/    what the audit records about a command, and what is masked in it
    advice/     what a person can do when a command would fail
    rules/      who may send which command
    decisions/  what becomes of one command: all of these together

Imports go up this list and never down; what all of them use, such as QMP's vocabulary (qmp.py), stands beside it.

**A plan is a generator** (plans/plan.py). It yields a step and is sent the result of that step:

    ================  ==========================  ==================================================================
    yielded           sent back                   whoever drives the plan
    ================  ==========================  ==================================================================
    Run(commands)     their replies, in order     writes the commands in one go and waits for all replies
    AwaitJob(id)      ()                          waits for the event that the job concluded, or for one poll interval
    AwaitDeletion     ()                          waits for one poll interval, in which QEMU frees a device
    Decided(...)      ()                          keeps it for the audit record; nothing to wait for
    Intend, Settle    ()                          writes the intent to disk, or forgets it, before it goes on
    ================  ==========================  ==================================================================

It returns an outcome: an Answer (the text that HMP would have printed, "" for success), a Refusal, or PassThrough (QEMU is to
get the client's own bytes). decisions/plan_run.py plays a plan against replies as they come and contains what it raises. The
recovery of what an earlier run left (plans/recovery.py) is a generator of the same steps, and so is a rehearsal
(plans/rehearsal.py), which yields only the queries of another plan and answers its jobs itself.

**A decision is a generator around a plan** (decisions/decision.py), and it is what the proxy and the prompt actually play: it
refuses a client's command, passes it, rehearses its plan or plays it, and ends with what the client gets and what the record
says. It has two more steps than a plan. Pass: QEMU gets the client's own bytes, and the decision is sent the reply. Announce:
where no command may run unless it is on record, this step comes first.

**A plan has two halves.** First it looks: the survey (plans/survey.py) asks for the block graph (graph/wiring.py,
graph/blockgraph.py), the policy chooses (graph/selection.py, graph/patterns.py), and the plan checks for what is known to kill
QEMU (graph/known_crashes.py). Until then it can still give way. Its first command that changes anything commits it: it sees its
job to the end even when the client has gone, because a job that nobody dismisses blocks its id and hides its error
(plans/jobs.py, plans/saving.py).

**What must never be cached.** Nodes and tags: another monitor, or QEMU itself, may change them between two commands, and a
savevm that believes in yesterday's tags deletes the wrong one. graph/known.py lists the few facts that may be kept, each with
the reason why it cannot have become wrong.

**Orders that matter**, because a real QEMU showed that the other order loses something:

* `snapshot-*`, `query-jobs` and `job-dismiss` are written in one go. QEMU 7.2 to 11.1 answers the first when its work is done,
  so this costs one round trip. It is behaviour, not a promise: plans/jobs.py looks at what `query-jobs` says.
* A save looks for its tag on every disk first: `snapshot-save` refuses a tag only if all disks have it, and silently adds a
  second one where only some do.
* An intent is on disk before its first job is sent, and its marker job is dismissed before the intent is forgotten. So a
  process that is killed in between always leaves at least the intent for the next one to find.
* The debug graph is queried before `query-block`: a change between the two shows in the next graph (graph/known.py).

**What None means** is the same everywhere: nobody said (a policy's `failed_load`), there is none (a vmstate node, a reply), or
HMP chooses (a savevm's tag). It never means "not yet known".
"""
