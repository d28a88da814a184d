"""Text files as people's editors save them."""

import codecs
import os
from collections.abc import Iterator

from rspnet.errors import ConfigError

ENCODING = "utf-8-sig"
"""UTF-8, with a byte order mark or without, as Windows editors write it."""

_OTHERS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(path: str | os.PathLike[str]) -> str:
    """A text file's content, without a byte order mark.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode(ENCODING)
    except UnicodeDecodeError as error:
        raise not_utf8(path, content.count(b"\n", 0, error.start) + 1) from None
    if "\0" in text:
        raise not_utf8(path, 1)
    return text


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and contents of the lines that are not blank, without what is blank around them.

    Raises:
        ConfigError: as `read_text`.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def not_utf8(path: str | os.PathLike[str], line: int) -> ConfigError:
    """What to raise where a line of a file is not UTF-8; says so of UTF-16, as PowerShell's ``>`` writes it."""
    with open(path, "rb") as file:
        start = file.read(4)
    found = _OTHERS.get(start[:2]) or ("UTF-16" if b"\0" in start else None)
    what = f"{os.fspath(path)}: {found} text" if found else f"{os.fspath(path)}:{line}: not UTF-8 text"
    return ConfigError(f"{what}; save the file as UTF-8")
