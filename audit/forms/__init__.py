"""A report as text: for a terminal, and for programs. As a page for a browser it is in page/.

text_width, text_table         how texts and tables fit a terminal
report_table, outcomes         the whole report, and of it what failed
report_summary                 one screen
report_data                    JSON and CSV
"""
