from __future__ import annotations

import pytest

from mcal_engine.classifiers.texts.reading import LONGEST, UnreadableText, plain, readable


@pytest.mark.parametrize(
    ("markup", "seen"),
    [
        ("<p>Fish &amp; chips</p><p>twice</p>", "Fish & chips\ntwice"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<b>bo</b>ld &lt;b&gt;", "bold <b>"),
        ("<style>p{}</style><script>alert(1)</script>left", "left"),
        ('<div style="display: none">secret <b>x</b></div>open<span hidden>no</span>', "open"),
        ('see <img src="a.png" alt="a cat"> here', "see a cat here"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<!-- note -->text\nwith a break", "text with a break"),
        ("<div>never closed", "never closed"),
        ("<p></p>&nbsp; ", ""),
    ],
)
def test_markup_is_read_as_a_browser_shows_it(markup: str, seen: str) -> None:
    assert plain(markup, markup=True) == seen


def test_a_plain_text_keeps_its_angle_brackets_and_its_lines() -> None:
    assert plain("  if a < b:\r\n\n\n   use  <b>\t \x00") == "if a < b:\nuse <b>"


def test_a_text_without_end_is_cut_and_an_empty_one_is_refused() -> None:
    assert len(plain("ab " * LONGEST)) <= LONGEST
    assert readable("x") == "x"
    with pytest.raises(UnreadableText, match="empty"):
        readable(" \n")
