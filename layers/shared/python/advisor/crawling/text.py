"""Text as shops write it. Pure."""

from __future__ import annotations

import html
import re

from selectolax.lexbor import LexborHTMLParser

MAX_CHARS = 100_000  # longer than any description
_MAX_TAGS = 2_000  # deeply nested ones cost time by the square of their number
_TAG = re.compile(r"<[^<>]*>")


def plain_text(text: str) -> str:
    """Text without the tags and entities that many shops leave in their data; its beginning."""
    text = text[:MAX_CHARS]
    if "<" not in text and "&" not in text:
        return text
    if text.count("<") > _MAX_TAGS:
        return html.unescape(_TAG.sub(" ", text))
    body = LexborHTMLParser(text).body
    return body.text(deep=True, separator=" " if "<" in text else "") if body else text
