"""Look at every video of a data set and write the index that training obeys.

    python stages/verify.py ROOT --depth decode --out index.parquet
    python stages/verify.py ROOT | jq -r 'select(.status != "ok") | .video'

Reads a data-set folder (its layout is recognised), or an index whose videos are looked at again. Writes one JSON object
per video to stdout, or an index file with --out; a summary goes to stderr. A file that hangs or crashes the decoder
costs its own row only. With --out, rows are kept in FILE.partial until the scan is complete, and the same command goes
on from there after an interruption; another command is refused until that file is removed. A completed scan starts over
when it is asked for again: files may have changed.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rspnet import console
from rspnet.cli import options
from rspnet.cli.command import run
from rspnet.disk import writing_to
from rspnet.errors import ConfigError
from rspnet.running.lock import exclusive
from rspnet.running.machine import cores

NUM_NAMED = 10  # bad videos that the summary names
NO_FACTS = dict.fromkeys(("num_frames", "fps", "width", "height", "duration", "codec", "bytes", "plan"))
LOOKED_AT_AGAIN = ("timeout", "crashed", "error", "missing", "unreadable")  # what may have gone by when a scan goes on


@dataclass
class Config:
    """What is looked at, how, and where the index goes."""

    source: str
    """Folder of a data set, or an index of videos: .jsonl, .parquet, a list (.txt, .csv, .tsv), or - for JSON Lines on
    standard input."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    depth: Literal["probe", "decode"] = "probe"
    """How closely each file is looked at: by its headers and packets alone (probe), or every frame is decoded, which
    counts those that can be and finds damage inside a file (decode)."""
    jobs: int = cores()
    """Number of files looked at in parallel, each by a process of its own."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""
    strict: bool = False
    """End with exit status 1 if any video is not ok."""
    time_limit: float = 300.0
    """Seconds that looking at one file may take; past them it gets status timeout."""
    min_frames: int = 2
    """Number of frames below which a video gets status short; a single picture shows no motion."""


def main(config: Config) -> dict[str, Any]:
    """Verify, and return the summary that is also printed, with `exit_status` 1 where --strict is not met."""
    import rspnet.video.reader  # noqa: F401 - if it cannot be imported, this is the place to say so, not every row
    from rspnet.data import index, layouts
    from rspnet.running.pool import Ready, run_parallel

    index.check_out(config.out)
    ignored: Counter[str] = Counter()
    rows: Iterable[index.Row]
    if index.is_index(config.source):
        rows, total = index.check_roots(index.read_rows(config.source)), None
    else:
        rows = list(layouts.scan(config.source, config.layout, ignored))
        total = len(rows)
    look = partial(inspect_row, depth=config.depth, min_frames=config.min_frames)
    tally = Tally()
    with Journal(config) as journal, contextlib.ExitStack() as stack:
        items = (Ready(row, row | journal.done[key(row)]) if key(row) in journal.done else row for row in rows)
        results = run_parallel(look, items, jobs=config.jobs, time_limit=config.time_limit)
        stack.enter_context(contextlib.closing(results))  # its workers end here, whatever happens
        looked_at = (outcome(row, result) for row, result in results)
        looked_at = tally(journal(console.progress(looked_at, total, "verify", "videos")))
        # A file is written when all is known: no half-written one lies about during the scan.
        index.write_rows(looked_at if config.out == "-" else list(looked_at), config.out)
    summary = {"stage": "verify", "source": config.source, "depth": config.depth, "out": config.out}
    summary |= tally.summary() | {"ignored": dict(ignored.most_common())}
    for line in report(summary):
        console.say(line)
    return summary | {"exit_status": int(config.strict and summary["num_bad"] > 0)}


def inspect_row(row: dict[str, Any], depth: str, min_frames: int) -> dict[str, Any]:
    """The row with what its file is like now (called in a worker process)."""
    from rspnet.video.reader import inspect

    if row["status"] == "bad_name":
        return row
    path = os.path.join(row["root"], row["video"])
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return row | NO_FACTS | {"status": "missing", "reason": row["reason"] or "no such file"}
    except OSError as error:  # its folder is closed to us, a link leads to itself
        return row | NO_FACTS | {"status": "unreadable", "reason": error.strerror}
    if not os.access(path, os.R_OK):
        return row | NO_FACTS | {"status": "unreadable", "reason": "this user may not read the file"}
    return row | inspect(path, depth=depth, min_frames=min_frames)


def outcome(row: dict[str, Any], result: Any) -> dict[str, Any]:
    """A worker's row, or one that says why the worker could not make it."""
    if isinstance(result, dict):
        return result
    status = {"timeout": "timeout", "crash": "crashed", "error": "error"}[result.kind]
    return row | NO_FACTS | {"status": status, "reason": result.text}


def key(row: dict[str, Any]) -> tuple[str, str]:
    """What a video is known by."""
    return row["root"], row["video"]


class Journal:
    """FILE.partial, the rows of a scan that writes FILE and is not complete: its settings, then a row per line.

    Attributes:
        done: status and facts, by `key`, that an interrupted scan with the same settings left.

    Raises:
        ConfigError: an interrupted scan with other settings left it, or one is at work on it.
    """

    def __init__(self, config: Config) -> None:
        self.done: dict[tuple[str, str], dict] = {}
        self._file = None
        self._stack = contextlib.ExitStack()
        if config.out == "-":
            return
        self._path = f"{config.out}.partial"
        settings = {name: getattr(config, name) for name in ("layout", "depth", "min_frames")}
        settings["source"] = os.path.abspath(config.source)
        with writing_to(self._path):
            self._file = self._stack.enter_context(open(self._path, "a+b"))  # noqa: SIM115
        try:
            self._stack.enter_context(exclusive(self._file))
            good = self._read(settings)
        except BlockingIOError:
            self._file.close()
            raise ConfigError(f"{self._path}: another process is making {config.out}; wait for it") from None
        except ConfigError:
            self._stack.close()
            raise
        with writing_to(self._path):
            self._file.truncate(good)
        if not good:
            self._write(settings)
        elif self.done:
            console.say(f"going on after the {console.some(len(self.done), 'video')} in {self._path}")

    def _read(self, settings: dict[str, Any]) -> int:
        """Take over the rows of an earlier scan; returns the bytes of the file that are good."""
        self._file.seek(0)
        expected, head = _line(settings), self._file.readline()
        if head != expected:
            if expected.startswith(head):  # empty, or stopped before there was a row
                return 0
            raise ConfigError(
                f"{self._path}: an interrupted scan left it{_differences(head, settings)}; give that command again to "
                "go on with it, or remove the file to start over"
            )
        good = len(head)
        for line in self._file:
            try:
                row = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break  # cut short when the scan was stopped
            self.done[key(row)] = {name: row.get(name) for name in ("status", "reason", *NO_FACTS)}
            good += len(line)
        self.done = {name: facts for name, facts in self.done.items() if facts["status"] not in LOOKED_AT_AGAIN}
        return good

    def __call__(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows, and keep those that are new."""
        for row in rows:
            if self._file and key(row) not in self.done:
                self._write(row)
            yield row

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, error: type | None, *_: object) -> None:
        if self._file and error is None:  # FILE is written
            os.unlink(self._path)
        with contextlib.suppress(OSError):  # tries again what a full disk refused, which has been said
            self._stack.close()

    def _write(self, content: dict[str, Any]) -> None:
        with writing_to(self._path):
            self._file.write(_line(content))
            self._file.flush()


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _differences(head: bytes, settings: dict[str, Any]) -> str:
    """What a journal's first line says otherwise, in words; empty where it is not understood."""
    try:
        then = json.loads(head)
        told = [f"{name} {then[name]}" for name in settings if then[name] != settings[name]]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" with {', '.join(told)}"


class Tally:
    """Counts rows as they pass through."""

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.seconds = 0.0
        self.bad: list[str] = []
        self.unlabelled: list[str] = []
        self.slow: Counter[str] = Counter()

    def __call__(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        from rspnet.video.plan import Plan

        for row in rows:
            self.status[row["status"]] += 1
            if row["status"] == "ok":
                self.splits[row["split"] or "no split"] += 1
                self.classes[row["label"]] += 1
                if row["label"] is None and len(self.unlabelled) < NUM_NAMED:
                    self.unlabelled.append(row["video"])
                self.seconds += row["duration"] or 0.0
                if row["plan"] and not len(Plan.from_text(row["plan"]).keys):
                    self.slow[os.path.splitext(row["video"])[1].lower()] += 1
            elif len(self.bad) < NUM_NAMED:
                self.bad.append(f"{row['video']}: {row['status']}: {row['reason']}")
            yield row

    def summary(self) -> dict[str, Any]:
        """What was counted; splits, classes and hours are those of the videos that are ok."""
        classes = sorted((count, name) for name, count in self.classes.items() if name is not None)
        return {
            "num_videos": self.status.total(),
            "num_bad": self.status.total() - self.status["ok"],
            "hours": round(self.seconds / 3600, 3),
            "status": dict(self.status.most_common()),
            "splits": dict(self.splits),
            "num_classes": len(classes),
            "smallest_class": classes[0][::-1] if classes else None,
            "largest_class": classes[-1][::-1] if classes else None,
            "num_unlabelled": self.classes[None],
            "unlabelled": self.unlabelled if classes else [],
            "slow": dict(self.slow.most_common()),
            "bad": self.bad,
        }


def report(summary: dict[str, Any]) -> Iterator[str]:
    """The summary in a few lines."""
    counts = ", ".join(f"{count} {status}" for status, count in summary["status"].items())
    yield f"{console.some(summary['num_videos'], 'video')} ({counts}); {summary['hours']:.2f} hours are ok"
    if summary["splits"].keys() - {"no split"}:
        yield "of these " + ", ".join(f"{count} {split}" for split, count in summary["splits"].items())
    if summary["num_classes"]:
        classes = console.some(summary["num_classes"], "class", "classes")
        (small, least), (large, most) = summary["smallest_class"], summary["largest_class"]
        text = f"{classes}, from {console.some(least, 'video')} ({small}) to {most} ({large})"
        if summary["num_unlabelled"]:
            text += f"; {console.some(summary['num_unlabelled'], 'video')} of no class, e.g. {summary['unlabelled'][0]}"
        yield text
    ignored = dict(summary["ignored"])
    if lists := ignored.pop("lists", 0):
        yield f"official lists of the data set, which say the splits: {console.some(lists, 'file')}"
    if ignored:
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in ignored.items())
        yield f"files that are not named like videos: {kinds}"
    if summary["slow"]:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in summary["slow"].items())
        yield f"can be read from their beginning only, which is slow: {kinds}; stages/transcode.py mends it"
    yield from summary["bad"]
    if summary["num_bad"] > len(summary["bad"]):
        yield f"... and {summary['num_bad'] - len(summary['bad'])} more that are not ok"
    if summary["out"] != "-":
        yield f"index written to {summary['out']}"


if __name__ == "__main__":
    run(main, Config)
