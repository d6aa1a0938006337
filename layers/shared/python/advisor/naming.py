"""Text from shops as path segments, and back: a shop's words are data, never a path."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

MAX_SEGMENT_BYTES = 150
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*%]|^\.|[. ]$|^ ')
# Windows: a device, whatever extension follows.
_RESERVED = re.compile(
    r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d\u00b9\u00b2\u00b3])(?= *(?:$|\.))",
    re.IGNORECASE,
)


def path_segment(text: str) -> str:
    """One safe folder or file name for any text; the text itself where it is safe already.

    Unsafe characters are percent-encoded, so `label_of` gives the text back. Text too long
    for a file system is cut and ends in a hash of the whole, which cannot be undone.
    """
    safe = _UNSAFE.sub(lambda match: _encode(match[0]), text) or "%"
    safe = _RESERVED.sub(lambda match: _encode(match[0][0]) + match[0][1:], safe)
    data = safe.encode("utf-8", "replace").replace(b"?", b"\xef\xbf\xbd")  # half a UTF-16 pair
    if len(data) <= MAX_SEGMENT_BYTES:
        return data.decode()
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{data[:MAX_SEGMENT_BYTES].decode('utf-8', 'ignore').rstrip('. %')}~{digest}"


def label_of(segment: str) -> str:
    """The text that `path_segment` made the segment from (an ordinary folder name is its own)."""
    return "" if segment == "%" else unquote(segment)


def _encode(char: str) -> str:
    encoded = quote(char, safe="")
    return encoded if encoded != char else f"%{ord(char):02X}"
