"""DST/copies.jsonl: what each copy in a folder was made from, and its checksum; who holds it owns the folder."""

import os
from collections.abc import Iterable, Iterator

from rspnet import console
from rspnet.data.copying import Entry, Outcome, Task
from rspnet.errors import ConfigError
from rspnet.running.appended import AppendedLines

NAME = "copies.jsonl"
"""The file, in the folder of the copies."""


class Ledger:
    """The folder of copies, held so that no other process writes to it. A context manager.

    Args:
        dst: the folder.
        out: the index that is written, which is another file.

    Attributes:
        made: what was kept of the copies that are there, by their paths.

    Raises:
        ConfigError: another process is writing to the folder; or it cannot be written to.
        DiskError: its disk is full, or read-only.
    """

    def __init__(self, dst: str, out: str) -> None:
        path = os.path.join(dst, NAME)
        if out != "-" and os.path.realpath(out) == os.path.realpath(path):
            raise ConfigError(f"out: {out}; this stage keeps its own list of the copies there; give another name")
        self.made: dict[str, Entry] = {}
        busy = "another process is writing to this folder; wait for it, or give another one"
        self._lines = AppendedLines(path, busy=busy)
        good = damaged = 0
        for line, end in self._lines.read():
            if not _is_entry(line):
                damaged += 1
                continue
            self.made[line["video"]] = Entry(**line)
            good = end
        if damaged:
            console.say(
                f"{path}: {console.some(damaged, 'line')} damaged; copies that it no longer tells of are decoded"
            )
        try:
            self._lines.keep(good)
        except BaseException:
            self._lines.__exit__()
            raise

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.__exit__()

    def __call__(self, ends: Iterable[tuple[Task, Outcome]]) -> Iterator[tuple[Task, Outcome]]:
        """Pass on what became of tasks, and keep what is new of the copies."""
        for task, outcome in ends:
            if outcome.entry and outcome.entry != task.known:
                self._lines.add(outcome.entry._asdict())
            yield task, outcome


def _is_entry(line: object) -> bool:
    """Whether it is what an `Entry` was written as."""
    if not isinstance(line, dict) or line.keys() != set(Entry._fields) or not isinstance(line["video"], str):
        return False
    if not all(isinstance(line[name], dict) for name in ("source", "recipe", "copy", "facts")):
        return False
    return all({"bytes", "sha256"} <= set(line[name]) for name in ("source", "copy"))
