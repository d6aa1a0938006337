"""Folder and file names from what shops write."""

from __future__ import annotations

import ntpath
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.naming import label_of, path_segment

# Names of devices on Windows, with what else may make one of a name.
DEVICES = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\..*)?", re.IGNORECASE
)


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("hi-fi, audio & speakers", "hi-fi, audio & speakers"),
        ("../../x", "%2E.%2F..%2Fx"),
        ("..", "%2E%2E"),
        ("CON", "%43ON"),
        ("con.txt", "%63on.txt"),
        ("nul .txt", "%6Eul .txt"),
        ("COM\u00b9", "%43OM\u00b9"),
        ("CONIN$", "%43ONIN$"),
        ("console", "console"),
        ("name. ", "name.%20"),
        ("name.", "name%2E"),
        (" name", "%20name"),
        ("a\x00b", "a%00b"),
        ("100% wool?", "100%25 wool%3F"),
        ("C:\\x", "C%3A%5Cx"),
        ("", "%"),
        ("\ud800", "\ufffd"),
    ],
)
def test_unsafe_text_is_percent_encoded(text: str, segment: str) -> None:
    assert path_segment(text) == segment


@given(st.text() | st.text(". ~%$/\\\x00conaul1", max_size=12))
@example("\U0001f600" * 300)
@example("x" * 149 + ". .")
def test_any_text_is_one_name_on_any_system(text: str) -> None:
    segment = path_segment(text)
    assert 0 < len(segment.encode()) <= 163
    assert segment not in (".", "..")
    assert ntpath.basename(segment) == Path(segment).name == segment
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]|[. ]$', segment)
    assert not DEVICES.fullmatch(segment)


@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_the_label_is_got_back(text: str) -> None:
    assert label_of(path_segment(text)) == text


@given(st.text(max_size=200), st.text(max_size=200))
@example("a" * 300 + "b", "a" * 300 + "c")
def test_two_texts_have_two_names(one: str, other: str) -> None:
    assert (path_segment(one) == path_segment(other)) == (one == other)
