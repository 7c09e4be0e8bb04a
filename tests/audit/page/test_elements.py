"""Whatever a text holds, it is a text in the page, and a browser can show it."""

from xml.etree.ElementTree import tostring

import pytest

from audit.page.elements import make, source, spell_page, svg, words


def spelled(text: str) -> str:
    return tostring(make("p", text), encoding="unicode", method="html")


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a & b &amp; c", "a &amp; b &amp;amp; c"),
        ("\x00\x1b[2J\r\n", r"\x00\x1b[2J\r\n"),
        ("\ud800\ufffe\u202e", r"\ud800\ufffe\u202e"),
        ("日本 é '\"", "日本 é '\""),
    ],
)
def test_text_is_no_markup_and_can_be_shown(text: str, markup: str) -> None:
    assert spelled(text) == f"<p>{markup}</p>"


def test_attribute_cannot_be_left() -> None:
    element = make("p", title='"><img src=x onerror=alert(1)>\x00')
    assert tostring(element, encoding="unicode", method="html") == (
        '<p title="&quot;&gt;<img src=x onerror=alert(1)&gt;\\x00"></p>'
    )


def test_children_keep_their_order() -> None:
    element = make("p", "a", make("b", "c"), "d", None, "e", make("i"))
    assert tostring(element, encoding="unicode", method="html") == "<p>a<b>c</b>de<i></i></p>"


def test_attributes_are_spelled_as_html_has_them() -> None:
    element = make("p", class_="x", aria_label="y", width=1.504, x=-0.001, height=10, title=None)
    assert element.attrib == {"class": "x", "aria-label": "y", "width": "1.5", "x": "0", "height": "10"}


def test_picture_scales_and_says_what_it_is() -> None:
    assert svg(width=10, height=5, label="a chart", class_="chart").attrib == {
        **{"viewBox": "0 0 10 5", "role": "img", "aria-label": "a chart", "class": "chart"},
    }


def test_source_stands_as_it_is() -> None:
    parent = make("head")
    source(parent, "style", "a > b & c {}")
    assert tostring(parent, encoding="unicode", method="html") == "<head><style>a > b & c {}</style></head>"


@pytest.mark.parametrize("text", ["</script>", "</style>", "x = '</SCRIPT'", "<!--"])
def test_source_cannot_end_its_element(text: str) -> None:
    with pytest.raises(ValueError, match="must not be in a script"):
        source(make("body"), "script", text)


def test_page_begins_with_its_doctype() -> None:
    assert spell_page(make("html", lang="en")) == '<!DOCTYPE html>\n<html lang="en"></html>\n'


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("", ""),
        ("short words only", "short words only"),
        ("see /usr/lib/jvm-17/share/java now", "see /<wbr>usr/<wbr>lib/<wbr>jvm-<wbr>17/<wbr>share/<wbr>java<wbr> now"),
        ("x-query-named-block-nodes", "x-<wbr>query-<wbr>named-<wbr>block-<wbr>nodes<wbr>"),
        ("query-named-block-nodes", "query-named-block-nodes"),
        ("x" * 25, f'<span class="unbroken">{"x" * 25}</span><wbr>'),
        (
            "\x00/usr/bin/something-else",
            r"\x00/<wbr>usr/<wbr>bin/<wbr>something-<wbr>else<wbr>".replace("\\x00/", "\\<wbr>x00/"),
        ),
        ("a<b>/usr/bin/something-else", "a&lt;b&gt;/<wbr>usr/<wbr>bin/<wbr>something-<wbr>else<wbr>"),
    ],
)
def test_long_words_may_be_broken_after_their_marks_only(text: str, markup: str) -> None:
    assert tostring(make("p", *words(text)), encoding="unicode", method="html") == f"<p>{markup}</p>"
