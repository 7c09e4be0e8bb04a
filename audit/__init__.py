"""`hmp-audit`: reads audit logs, and sources, and tells who still depends on HMP.

log/                        files and streams, and their lines as records
counting/                   from records to a report; none of them is kept
report                      what a report says, as values
report_table, report_data   the report for a terminal, and as JSON and CSV; page/: as a page for a browser
parties                     tools and VMs
target                      what breaks on another QEMU, from what a report says
switch                      whether mode observe may be left for mode rewrite
headline, wording           sentences, counts and times, the same in each of these forms
fail_on                     what a CI job holds against a report
follow, lines               `hmp-audit follow`, and a record as one line or several
check                       `hmp-audit check`
scanning/                   `hmp-audit scan`: the same question asked of sources
"""
