"""A report as text: for a terminal, and for programs. As a page for a browser it is in page/.

text_width, text_table         how texts and tables fit on a terminal
report_table                   the whole report for a terminal; outcomes has its failures, board_table its board
report_summary                 one screen
report_data, board_data        JSON and CSV
markdown                       for comments and wikis
notices                        single findings, which sarif, ocsf and junit put into their forms

Names, tags and texts come from clients, so each form escapes them in its own way: control characters for a terminal, formulas
for a spreadsheet, markup for Markdown. Members of the JSON form are only ever added; a changed meaning raises REPORT_VERSION.
"""
