"""DST/copies.jsonl: what each copy in a folder was made from, and its checksum; whoever locks it owns the folder."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from rspnet import console
from rspnet.data.copying import Entry, Outcome, Task
from rspnet.disk import reading, writing_to
from rspnet.errors import ConfigError
from rspnet.lock import shared
from rspnet.running.appended import AppendedLines, parsed
from rspnet.running.share import ALL, Share
from rspnet.signals import tell_what_is_kept

NAME = "copies.jsonl"
"""The file, in the folder of the copies."""

_OF_SHARE = re.compile(r"copies\.\d+-of-\d+\.jsonl")


class Ledger:
    """The folder of copies, locked so that no process but other shares writes to it. A context manager.

    Each share writes a file of its own; the next process that has the folder to itself merges these into `NAME`.

    Args:
        dst: the folder.
        out: the index that is written, which must be another file.
        share: the share of the videos that is copied.
        order: paths of copies, in the order in which the entries of shares are merged.

    Attributes:
        made: the entries of the existing copies, by their paths.

    Raises:
        ConfigError: another process is writing to the folder, or to this share; it cannot be written to; or `out` is
            one of its own files.
        DiskError: its disk is full, or read-only.
    """

    def __init__(self, dst: str, out: str, share: Share = ALL, *, order: Sequence[str] = ()) -> None:
        path = os.path.join(dst, NAME if share == ALL else f"copies.{share.number}-of-{share.count}.jsonl")
        if out != "-" and os.path.dirname(os.path.realpath(out)) == os.path.realpath(dst) and _is_ours(out):
            raise ConfigError(f"out: {out}; this stage keeps its own list of the copies there; give another name")
        self.made: dict[str, Entry] = {}
        busy = "another process is writing to this folder; wait for it, or give another one"
        with contextlib.ExitStack() as stack:
            if share != ALL:
                stack.enter_context(_beside_others(os.path.join(dst, NAME), busy))
            self._lines = stack.enter_context(AppendedLines(path, busy=busy))
            self.made |= _kept(os.path.join(dst, NAME)) if share != ALL else {}
            of_shares = _of_shares(dst, but=path)
            if share == ALL:
                self._read()
                self._join(of_shares, order)
            else:
                self.made |= {name: entry for entries in of_shares.values() for name, entry in entries.items()}
                self._read()
            self._held = stack.pop_all()

    def _read(self) -> None:
        """Load the entries of this file, and cut off what is damaged at its end."""
        good = damaged = 0
        for line, end in self._lines.read():
            if _is_entry(line):
                self.made[line["video"]] = Entry(**line)
                good = end
            else:
                damaged += 1
        _tell(self._lines.path, damaged)
        self._lines.keep(good)

    def _join(self, of_shares: dict[str, dict[str, Entry]], order: Sequence[str]) -> None:
        """Merge the entries of shares into this file, and remove their files."""
        new = {name: entry for entries in of_shares.values() for name, entry in entries.items()}
        places = {name: place for place, name in enumerate(order)}
        for name in sorted(new, key=lambda name: (places.get(name, len(places)), name)):
            if self.made.get(name) != new[name]:
                self.made[name] = new[name]
                self._lines.add(new[name]._asdict())
        for path in of_shares:
            os.unlink(path)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._held.close()
        tell_what_is_kept(error, os.path.dirname(self._lines.path))

    def __call__(self, ends: Iterable[tuple[Task, Outcome]]) -> Iterator[tuple[Task, Outcome]]:
        """Yield the outcomes of tasks, and append the new entries to the file."""
        for task, outcome in ends:
            if outcome.entry and outcome.entry != task.known:
                self._lines.add(outcome.entry._asdict())
            yield task, outcome


def _is_ours(path: str) -> bool:
    name = os.path.basename(os.path.realpath(path))
    return name == NAME or _OF_SHARE.fullmatch(name) is not None


@contextlib.contextmanager
def _beside_others(path: str, busy: str) -> Iterator[None]:
    """Keep other processes from having the folder to themselves."""
    with contextlib.ExitStack() as stack:
        with writing_to(path):
            file = stack.enter_context(open(path, "a+b"))
        try:
            stack.enter_context(shared(file.fileno()))
        except BlockingIOError:
            raise ConfigError(f"{path}: {busy}") from None
        yield


def _of_shares(dst: str, but: str) -> dict[str, dict[str, Entry]]:
    """Return the entries in each file of a share, except the file `but`."""
    paths = [os.path.join(dst, name) for name in sorted(os.listdir(dst)) if _OF_SHARE.fullmatch(name)]
    return {path: _kept(path) for path in paths if path != but}


def _kept(path: str) -> dict[str, Entry]:
    """Return the entries of a file that another process may be appending to."""
    with reading(path):
        try:
            with open(path, "rb") as file:
                lines = [line for line, _ in parsed(file)]
        except FileNotFoundError:
            return {}
    entries = [Entry(**line) for line in lines if _is_entry(line)]
    _tell(path, len(lines) - len(entries))
    return {entry.video: entry for entry in entries}


def _tell(path: str, damaged: int) -> None:
    if damaged:
        console.say(f"{path}: {console.some(damaged, 'line')} damaged; copies without an entry are checked by decoding")


def _is_entry(line: object) -> bool:
    """Whether a line is a written `Entry`."""
    if not isinstance(line, dict) or line.keys() != set(Entry._fields) or not isinstance(line["video"], str):
        return False
    if not all(isinstance(line[name], dict) for name in ("source", "recipe", "copy", "facts")):
        return False
    return all({"bytes", "sha256"} <= set(line[name]) for name in ("source", "copy"))
