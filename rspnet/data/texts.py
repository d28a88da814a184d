"""Read text files as different editors save them."""

import codecs
import os
from collections.abc import Iterator

from rspnet.errors import ConfigError

ENCODING = "utf-8-sig"
"""UTF-8, with or without the byte order mark that Windows editors write."""

_OTHERS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(path: str | os.PathLike[str]) -> str:
    """Return a text file's content without a byte order mark.

    Raises:
        ConfigError: the file cannot be read, or is not UTF-8.
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
    """Yield line number, from 1, and stripped content of each line that is not blank.

    Raises:
        ConfigError: as `read_text`.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def not_utf8(path: str | os.PathLike[str], line: int) -> ConfigError:
    """Return the error for a file with a line that is not UTF-8; it names UTF-16, which PowerShell's ``>`` writes."""
    with open(path, "rb") as file:
        start = file.read(4)
    found = _OTHERS.get(start[:2]) or ("UTF-16" if b"\0" in start else None)
    what = f"{os.fspath(path)}: {found} text" if found else f"{os.fspath(path)}:{line}: not UTF-8 text"
    return ConfigError(f"{what}; save the file as UTF-8")
