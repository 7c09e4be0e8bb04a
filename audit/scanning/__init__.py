"""`hmp-audit scan`: finds in sources and scripts what the report finds in a log, before the program runs.

It reads words, not programs. A lexical scan cannot follow a variable, so each finding is marked as sure or as one to look at,
and a doubtful word is rather left out than reported, so that people do not learn to skip the output.

rules/                 what HMP looks like in a source
    languages              which language a file is in, by its name or its first line; prose such as Markdown has none
    lexing                 removes comments and finds string literals: all that the rules need to know about a language
    hmp_texts              whether a text is an HMP command line, and which
    qmp_calls              human-monitor-command, in whatever language the JSON is written
    literals, callers      for code: what a literal means, judged by the call that it is in
    shell_words, shell     for scripts: commands, pipes and here-documents, and what goes to a monitor
    line_scripts           YAML, Makefiles and Dockerfiles as pieces of shell
    findings               the results, as values
file_scan              one file: rules, marks that accept a line, each place once
tree                   which files of a tree are read
scan, scan_conditions  the command, and on what findings a CI job fails
scan_text, scan_data   the findings for a terminal, and as JSON and CSV
scan_notices           the same for other programs, in the same forms as a report (audit/forms/)

All rules work on texts in which every character keeps its place: comments become blanks, and an escape such as `\\"` becomes a
padding character and what it stands for. So an offset is valid in each of these texts.
"""
