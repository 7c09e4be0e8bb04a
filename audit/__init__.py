"""`hmp-audit`: reads audit logs, and sources, and tells who still depends on HMP.

log/                        files and streams, and their lines as records
counting/                   from records to a report; none of them is kept
reporting/                  what a report says, as values and sentences
    report, parties             the values; tools and VMs
    board, next_changes         where each tool stands, and what to change next
    ready                       the QMP to send in place of a recorded command
    quiet                       what stopped long ago is no alarm
    target                      what breaks on another QEMU, from what a report says
    switch                      whether mode observe may be left for mode rewrite
    keys                        what is the same thing in two reports
    headline, wording           sentences, counts and times, the same in each form
forms/                      a report for a terminal, and for programs
    report_table, report_data   a table; JSON and CSV
    notices                     single findings, as sarif, ocsf and junit have them
    markdown                    for comments and wikis
page/                       a report for a browser
fail_on                     what a CI job holds against a report
follow, lines               `hmp-audit follow`, and a record as one line or several
check                       `hmp-audit check`
comparing/                  `hmp-audit diff`, and --baseline
scanning/                   `hmp-audit scan`: the same question asked of sources
"""
