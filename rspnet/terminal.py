"""Escape text for a terminal: names of files, classes and weights may hold characters that control it."""

import re

# Control characters (C0, DEL, C1), separators of lines and paragraphs, marks of direction, lone surrogates.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(line: str) -> str:
    """Escape the characters that would move the cursor, ring the bell, end the line or change the direction of text."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), line)


def visible_json(line: str) -> str:
    """Escape the same in a line of JSON, which stays valid and equal: JSON itself must only escape C0."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", line)
