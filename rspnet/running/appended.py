"""A JSON Lines file that is appended to while a stage works, so that an interrupted stage can continue."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from rspnet.disk import writing_to
from rspnet.errors import ConfigError
from rspnet.lock import exclusive, is_still


class AppendedLines:
    """The file, opened and locked so that no other process appends to it. A context manager.

    Args:
        path: the file; it is created if missing.
        busy: error message if another process has locked it.

    Raises:
        ConfigError: another process has locked it, or it cannot be written to.
        DiskError: its disk is full, or read-only.
    """

    def __init__(self, path: str, *, busy: str) -> None:
        self.path = path
        self._stack = contextlib.ExitStack()
        while True:
            with writing_to(path):
                self._file = self._stack.enter_context(open(path, "a+b"))  # noqa: SIM115 - closed with the stack
            try:
                self._stack.enter_context(exclusive(self._file.fileno()))
            except BlockingIOError:
                self._stack.close()
                raise ConfigError(f"{path}: {busy}") from None
            if is_still(path, self._file.fileno()):
                return
            self._stack.close()  # its last holder finished and removed it after we had opened it

    def __enter__(self) -> "AppendedLines":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # retries a write that a full disk refused, which was reported then
            self._stack.close()

    def head(self) -> bytes:
        """Return the first line, not parsed."""
        self._file.seek(0)
        return self._file.readline()

    def read(self) -> Iterator[tuple[Any, int]]:
        """Yield each line's content (None if damaged) and the offset of its end, without an unfinished last line."""
        self._file.seek(0)
        yield from parsed(self._file)

    def keep(self, size: int) -> None:
        """Truncate the file to its first `size` bytes."""
        with writing_to(self.path):
            self._file.truncate(size)

    def add(self, content: dict[str, Any]) -> None:
        """Append a line."""
        with writing_to(self.path):
            self._file.write(as_line(content))
            self._file.flush()

    def remove(self) -> None:
        """Remove the file, unless somebody has done so, and its name may be another's."""
        if is_still(self.path, self._file.fileno()):
            os.unlink(self.path)


def parsed(file: Iterable[bytes]) -> Iterator[tuple[Any, int]]:
    """Yield the same as `AppendedLines.read`, from an open file."""
    end = 0
    for line in file:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if not line.endswith(b"\n"):
            return
        end += len(line)
        yield content, end


def as_line(content: dict[str, Any]) -> bytes:
    """Return an object as a line of such a file."""
    return json.dumps(content).encode() + b"\n"
