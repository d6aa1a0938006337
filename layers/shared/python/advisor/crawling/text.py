"""Text as shops write it. Pure."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser


def plain_text(text: str) -> str:
    """Text without the tags and entities that many shops leave in their data."""
    if "<" not in text and "&" not in text:
        return text
    body = LexborHTMLParser(text).body
    return body.text(deep=True, separator=" " if "<" in text else "") if body else text
