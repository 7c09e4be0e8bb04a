"""A report as one self-contained HTML page: style, script and pictures are in it, and it fetches nothing.

What it says comes from a log, and so from anybody. It goes through audit.page.elements, which keeps text and markup apart.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from audit.page.bar_chart import bar_chart
from audit.page.contrasts import contrasts
from audit.page.elements import Child, Element, make, source, spell_page
from audit.page.first import first
from audit.page.prospects import prospects
from audit.page.sections import Label, section, state_mark, tables
from audit.page.standing import board_sections
from audit.page.timeline_chart import timeline_chart
from audit.reporting.board import board
from audit.reporting.headline import Headline, headline
from audit.reporting.report import LogSummary, Report, State, Tool
from audit.reporting.wording import counted, listed, minute, number, tool_labels

__all__ = ["render_html"]

_TITLE = "Who still uses HMP"
_NAMED_LOGS = 3
_LISTED_LOGS = 50


def render_html(report: Report, *, generated: str) -> str:
    """Return the page. generated: the time, as text."""
    style, script = _own_file("style.css"), _own_file("script.js")
    labels = tool_labels(use.tool for use in report.tools)

    def label(tool: Tool) -> str:
        return labels.get(tool, tool.name)

    html = make("html", _head(style, script), lang="en")
    body = make(
        "body",
        make("header", *_heading(report, generated)),
        make(
            "main",
            *_answers(report, label),
            _tiles(report),
            *_charts(report),
            _filter(),
            *tables(report, label),
            _notes(report),
        ),
        make("footer", make("p", f"Made by hmp-audit on {generated}. Times are UTC.")),
    )
    html.append(body)
    source(body, "script", script)
    return spell_page(html)


def _own_file(name: str) -> str:
    return files("audit").joinpath("page", name).read_text(encoding="utf-8")


def _security_policy(style: str, script: str) -> str:
    """Return a policy that allows only this style and script: the browser would not run or fetch injected markup."""
    hashes = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    own = "style-src 'sha256-{}'; script-src 'sha256-{}'".format(*hashes)
    return f"default-src 'none'; {own}; img-src data:; base-uri 'none'; form-action 'none'"


def _head(style: str, script: str) -> Element:
    head = make(
        "head",
        make("meta", charset="utf-8"),
        make("meta", http_equiv="Content-Security-Policy", content=_security_policy(style, script)),
        make("meta", name="viewport", content="width=device-width, initial-scale=1"),
        make("meta", name="color-scheme", content="light dark"),
        make("title", _TITLE),
        make("link", rel="icon", href="data:,"),
    )
    source(head, "style", style)
    return head


def _heading(report: Report, generated: str) -> list[Element]:
    log = report.log
    period = make("p", make("b", f"{minute(log.first)} to {minute(log.last)} UTC"), class_="period") if log.records else None
    origin = f"{counted(log.records, 'record')} of {_logs(log)}. Made on {generated}."
    return [
        make("h1", _TITLE),
        *([] if period is None else [period]),
        make("p", origin, class_="origin", title=" \N{MIDDLE DOT} ".join(log.names[:_LISTED_LOGS])),
    ]


def _logs(log: LogSummary) -> str:
    noun = "log" if len(log.names) == 1 else "logs"
    return f"the audit {noun} {listed(log.names, most=_NAMED_LOGS)}" if log.names else "no log"


def _answers(report: Report, label: Label) -> list[Child]:
    """Return the top of the page: the answer, what to do first, the board, the switch to rewriting, and another QEMU."""
    found = board(report)
    return [
        _verdict(report, headline(report)),
        first(found.changes),
        *board_sections(found, label),
        None if report.switch is None else contrasts(report.switch, label),
        None if report.outlook is None else prospects(report.outlook, label),
    ]


def _verdict(report: Report, found: Headline) -> Element:
    mark = None if found.state is None else state_mark(found.state)
    look = "unjudged" if found.state is None else found.state.name.lower()
    further = [] if report.switch is None else [("switch", report.switch.verdict)]
    further += [] if report.outlook is None else [("target", report.outlook.verdict)]
    answers = [make("p", make("a", text, href=f"#{place}"), class_="answer") for place, text in further]
    details = [make("p", text, class_="detail") for text in found.details]
    told = make("div", make("p", found.text, class_="headline"), *answers, *details)
    return make("section", mark, told, class_=f"verdict {look}", aria_label="Headline")


def _filter() -> Element:
    """Return the box with which the script filters the tables. It is hidden until the script shows it."""
    return make(
        "div",
        make("label", "Filter the tables", for_="filter"),
        make("input", type="search", id="filter", autocomplete="off", spellcheck="false", placeholder="tool, VM, text"),
        make("output", for_="filter", aria_live="polite"),
        class_="filter",
        role="search",
        hidden="",
    )


def _tiles(report: Report) -> Element:
    states = [use.state for use in report.tools]
    failed, silent, unknown = (sum(use.total(name) for use in report.tools) for name in ("failed", "silent", "unknown"))
    rewritten, passed = (sum(use.total(name) for use in report.tools) for name in ("rewritten", "passed"))
    log = report.log
    damages = f"{number(log.lost)} lost, {number(log.damaged)} damaged"
    tools = listed([f"{states.count(state)} {word}" for state, word in _STATE_WORDS if state in states])
    return make(
        "ul",
        _tile("commands", "HMP commands", report.hmp_count, f"{number(rewritten)} rewritten, {number(passed)} passed"),
        _tile("commands", "Modern commands", report.modern_count, "QMP's own, for snapshots"),
        _tile("tools", "Tools", len(states), tools or "none"),
        _tile("failures", "Failures", failed, f"{number(unknown)} without a reply" if unknown else "told by the reply"),
        _tile("silent", "Silent failures", silent, "the tool just went on"),
        _tile("overwritten", "Snapshots overwritten", sum(over.count for over in report.overwritings), "and gone"),
        _tile("log", "Records lost or damaged", log.lost + log.damaged, damages),
        class_="tiles",
    )


_STATE_WORDS = ((State.BLOCKED, "blocked"), (State.COVERED, "covered"), (State.QUIET, "quiet"), (State.MODERN, "modern"))


def _tile(leads_to: str, label: str, value: int, note: str) -> Element:
    parts = (make("span", text, class_=look) for text, look in ((number(value), "value"), (label, "label"), (note, "small")))
    return make("li", make("a", *parts, href=f"#{leads_to}"), data_value=value)


def _charts(report: Report) -> list[Element]:
    return [
        section("use", "Use of HMP", "", *bar_chart(report)),
        section("timeline", "Saves and loads", "", *timeline_chart(report)),
    ]


def _notes(report: Report) -> Element:
    log = report.log
    facts = (
        (log.left_out, "record", "left out by the filters"),
        (log.damaged, "line", "damaged: no record, and not counted; hmp-audit check tells where"),
        (log.torn, "log", "torn: the last line is not whole, and counts as damaged"),
        (log.lost, "record", "lost: could not be written, as later records tell"),
        (log.unfinished, "command", "unfinished: begun, and the outcome is not on record"),
        (log.housekeeping, "question", "of hmp-repl's own: not counted as use of HMP"),
        (report.recovered, "job", "recovered: found after a lost connection, and seen to its end"),
    )
    lines = [make("li", f"{counted(count, noun)} {what}") for count, noun, what in facts if count]
    lines += [make("li", text) for text in (*log.unreadable, *log.given_twice)]
    names = [make("li", name) for name in log.names[:_LISTED_LOGS]]
    more = len(log.names) - len(names)
    return section(
        *("log", "The logs", ""),
        make("ul", *lines, class_="facts") if lines else make("p", "Nothing is missing from what was read.", class_="empty"),
        make("p", f"{counted(len(log.names), 'log')} read:", class_="note") if names else None,
        make("ul", *names, make("li", f"and {number(more)} more") if more else None, class_="logs") if names else None,
        make("p", "Only what went through a proxy with an audit log is in these numbers.", class_="note"),
    )
