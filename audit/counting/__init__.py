"""From records to a report. A log may have millions of records, so they are counted as they stream by, and none is kept.

report_builder.py reads the logs and gives each record to tally.py, which asks filters.py whether it counts and grouping.py
which tool it is from. tool_tally.py counts per tool, failures.py groups failures, and switch_tally.py what agreement.py says
about observed commands; quantiles.py needs little memory for any number of durations. At the end, readiness.py says what the
counts mean for each tool. What a client can make up, such as texts and names, is limited everywhere, with a group for the rest.

Logs are read oldest first, because a tool's next command after a failure may be in the next log.
"""
