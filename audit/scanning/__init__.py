"""`hmp-audit scan`: finds in sources and scripts what the report finds in a log, before it runs.

It reads words, not programs. A lexical scan cannot follow a variable, so it says of each finding whether it is sure or for
somebody to look at, and it would rather leave a doubtful word out than have people learn to skip the output.

rules/                 what HMP looks like in a source
    languages              which language a file is in, by its name or its first line; prose such as Markdown is in none
    lexing                 comments out, and where the string literals are: all that the rules need of a language
    hmp_texts              is this text an HMP command line, and which?
    qmp_calls              human-monitor-command, in whatever language the JSON is written
    literals, callers      for code: what a literal is, judged by the call that it stands in
    shell_words, shell     for scripts: commands, pipes and here-documents, and what goes to a monitor
    line_scripts           YAML, Makefiles and Dockerfiles as pieces of shell
    findings               what comes of it
file_scan              one file: rules, marks that accept a line, each place once
tree                   which files of a tree are read
scan, scan_conditions  the command, and what a CI job holds against its findings
scan_text, scan_data   the findings for a terminal, and as JSON and CSV
scan_notices           the same for other programs, in the forms that a report has too (audit/forms/)

All rules work on one text in which every character keeps its place: comments become blanks, and an escape such as `\\"` becomes
a padding character and what it stands for. So an offset is right in whichever text it was found.
"""
