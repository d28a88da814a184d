"""A file of JSON lines that grows while a stage works, so that the stage goes on after a stop."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from rspnet.disk import writing_to
from rspnet.errors import ConfigError
from rspnet.lock import exclusive, is_still


class AppendedLines:
    """The file, open and held, so that no other process adds to it. A context manager.

    Args:
        path: the file; it is made if it is not there.
        busy: what to say where another process holds it.

    Raises:
        ConfigError: another process holds it; or it cannot be written to.
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
            self._stack.close()  # the process before removed it when it was done, after we had opened it

    def __enter__(self) -> "AppendedLines":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # tries again what a full disk refused, which has been said
            self._stack.close()

    def head(self) -> bytes:
        """The first line as it stands."""
        self._file.seek(0)
        return self._file.readline()

    def read(self) -> Iterator[tuple[Any, int]]:
        """Yield what each line holds (None: it is damaged) and where it ends, but for one cut by an abrupt end."""
        self._file.seek(0)
        yield from parsed(self._file)

    def keep(self, size: int) -> None:
        """Forget what follows the first `size` bytes."""
        with writing_to(self.path):
            self._file.truncate(size)

    def add(self, content: dict[str, Any]) -> None:
        """Append a line."""
        with writing_to(self.path):
            self._file.write(as_line(content))
            self._file.flush()


def parsed(file: Iterable[bytes]) -> Iterator[tuple[Any, int]]:
    """What `AppendedLines.read` yields, of a file that is open."""
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
    """An object as a line of such a file."""
    return json.dumps(content).encode() + b"\n"
