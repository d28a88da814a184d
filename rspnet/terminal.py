"""Text for a terminal: names of files, classes and weights come from anywhere, and a terminal obeys what it is sent."""

import re

# Controls (C0, DEL, C1), separators of lines and paragraphs, marks of direction, halves of pairs that are no text.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(line: str) -> str:
    """A line with escapes for what would move the cursor, ring the bell, end the line or turn the writing round."""
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), line)


def visible_json(line: str) -> str:
    """The same of a line of JSON, which stays what it is: JSON itself escapes C0 alone."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", line)
