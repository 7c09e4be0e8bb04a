"""From records to a report: which are chosen (filters), what is counted of each as it streams by (tally, tool_tally), and what
follows from the counts (readiness). A log may have millions of records, so none is kept.
"""
