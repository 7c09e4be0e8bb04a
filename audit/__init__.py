"""`hmp-audit`: reads audit logs, and sources, and reports who still depends on HMP.

A log of any length goes in and one Report comes out: the lines become records (log/), the records are counted as they stream by
(counting/), and the counts become a Report, a tree of frozen values (reporting/). What changes a report, such as quiet or
target, comes after that and returns a new one. The forms (forms/, page/) only lay a Report out, with the sentences and the
board of reporting/, so that all of them say the same. A log is untrusted input: any line may be damaged or hostile, so a line
is checked before it is counted, and what a client could make grow without end has a limit.

log/                        files and streams, and their lines as records
counting/                   from records to a report, without keeping the records
reporting/                  what a report says, as values and sentences
    report, parties             the values; tools and VMs
    board, next_changes         where each tool stands, and what to change next
    ready                       the QMP to send in place of a recorded command
    quiet                       what stopped long ago does not raise an alarm
    target                      what breaks on another QEMU, judging by a report
    switch                      whether it is safe to leave mode observe for mode rewrite
    keys                        what counts as the same thing in two reports
    headline, wording           sentences, counts and times, the same in each form
forms/                      a report for a terminal, and for programs
    report_table, report_data   a table; JSON and CSV
    notices                     single findings, for sarif, ocsf and junit
    markdown                    for comments and wikis
page/                       a report for a browser
fail_on                     on what a CI job fails
follow, lines               `hmp-audit follow`, and a record as one line or several
check                       `hmp-audit check`
comparing/                  `hmp-audit diff`, and --baseline
scanning/                   `hmp-audit scan`: the same question asked about sources
"""
