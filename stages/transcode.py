"""Rewrite the videos of a data set small and fast to read at random: what makes training from files pay.

    python stages/transcode.py ROOT DST --out DST/index.parquet
    python stages/verify.py ROOT --depth decode | python stages/transcode.py - DST > index.jsonl

Reads a data-set folder (its layout is recognised) or an index. Each video becomes DST/<the same path>.mp4: H.264, the
short side of --preset (never enlarged), a key frame every 16 frames, no B-frames, no sound, every frame kept at its own
time. The official list files are copied, so that DST is a data set of the same layout. Writes an index row per video to
stdout or to --out, with the `source` and the `recipe` of each new file. Rows that are not ok, and videos that turn out
not to be, are passed on with their status, pointing at the original. The same command again, after an interruption too,
does what is not done: a file is when it was made from the same video with the same recipe.

Ends with status 1 if a video that was ok before could not be transcoded, or one could not be written; at once where the
disk is full.
"""

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from rspnet import console
from rspnet.cli import options
from rspnet.cli.command import run
from rspnet.disk import FAULTS, refusal, sweep, whole, writing_to
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.running.machine import cores

NUM_NAMED = 10  # failures that the summary names
NUMBERS = ("num_videos", "num_made", "num_kept", "num_larger", "num_skipped", "num_bad", "num_lost")
FAILED = "failed"  # status of a video that is good, as far as known, but has no copy
Row = dict[str, Any]


@dataclass
class Config:
    """What is transcoded, how, and where it goes."""

    source: str
    """Folder of a data set, or an index of videos: .jsonl, .parquet, a list (.txt, .csv, .tsv), or - for JSON Lines on
    standard input."""
    dst: str
    """Folder that the new files go into, outside of the data set's."""
    preset: Literal["match", "fast"] = "match"
    """Settings of the new files: the published short side of 256 and a key frame every 16 frames, at crf 20 by x264's
    preset medium (match); or short side 160, as many key frames, crf 20 by veryfast, which is decoded in half the time
    and enough for crops of 112 pixels (fast)."""
    short_side: int | None = None
    """Length of the shorter side in pixels, even, in place of the preset's; smaller videos keep their size."""
    gop: int | None = None
    """Number of frames from one key frame to the next, in place of the preset's: more give smaller files, and slower
    random access."""
    crf: float | None = None
    """Constant rate factor of x264, in place of the preset's: lower is better and larger; the published project took
    23."""
    layout: options.Layout = "auto"
    """How the folder is organised (auto: it is recognised)."""
    jobs: int = cores()
    """Number of videos transcoded in parallel, each by a process of its own with one thread."""
    out: str = "-"
    """Index file that is written (.jsonl or .parquet); - is stdout."""
    time_limit: float = 1800.0
    """Seconds that transcoding one video may take; past them it gets status timeout."""


def main(config: Config) -> dict[str, Any]:
    """Transcode, and return the summary, with `exit_status` 1 where a good video has no copy."""
    from rspnet.data import index, layouts
    from rspnet.running.pool import Ready, run_parallel

    recipe = make_recipe(config)
    dst = os.path.abspath(config.dst)
    rows: Iterable[Row]
    if index.is_index(config.source):
        rows, total = index.check_roots(index.read_rows(config.source)), None
    else:
        rows = list(layouts.scan(config.source, config.layout))
        total = len(rows)
    rows = iter(rows)
    head = list(itertools.islice(rows, 1))  # before anything is made: a wrong index, or DST among the sources
    for row in head:
        check_apart(row["root"], dst)
    try:
        os.makedirs(dst, exist_ok=True)
    except OSError as error:
        if error.errno in FAULTS:
            raise refusal(dst, error) from None
        raise ConfigError(f"{dst}: cannot be made ({error.strerror}); give another folder to write to") from None
    index.check_out(config.out)

    folders: set[str] = set()
    tasks = plan(itertools.chain(head, rows), dst, config.layout, folders=folders)
    work = partial(transcode_row, dst=dst, recipe=recipe)
    items = (Ready(task, (task[0], False)) if task[1] is None else task for task in tasks)
    results = run_parallel(work, items, jobs=config.jobs, time_limit=config.time_limit)
    tally = Tally()
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: sweep(*folders))  # what workers that were killed were writing
        stack.enter_context(contextlib.closing(results))  # its workers end here, whatever happens
        ends = ((task[0], *outcome(task, result)) for task, result in results)
        index.write_rows(tally(console.progress(ends, total, "transcode", "videos")), config.out)
    summary = {"stage": "transcode", "dst": dst, "recipe": recipe} | tally.summary()
    for line in report(summary):
        console.say(line)
    return summary | {"exit_status": int(summary["num_lost"] > 0)}


def make_recipe(config: Config) -> dict[str, Any]:
    """Everything that decides on the new files: the preset's settings, and in their place those given.

    Raises:
        ConfigError: one of them cannot be.
    """
    from rspnet.video.writer import PRESETS

    given = {name: getattr(config, name) for name in ("short_side", "gop", "crf")}
    recipe = PRESETS[config.preset] | {name: value for name, value in given.items() if value is not None}
    if recipe["short_side"] < 2 or recipe["short_side"] % 2:
        raise ConfigError(f"--short_side {recipe['short_side']}: even and at least 2 (H.264 halves the colour planes)")
    if recipe["gop"] < 1:
        raise ConfigError(f"--gop {recipe['gop']}: at least 1")
    if not 0 <= recipe["crf"] <= 51:
        raise ConfigError(f"--crf {recipe['crf']:g}: from 0 (no loss) to 51")
    return {"codec": "h264"} | recipe


def plan(rows: Iterable[Row], dst: str, layout: str, *, folders: set[str]) -> Iterator[tuple[Row, str | None]]:
    """Yield each row with its path below `dst`, or None where there is nothing to transcode.

    List files of a data set are copied when its first row comes. A folder that is to get a file is cleared of what an
    interrupted run left there, and added to `folders`.

    Raises:
        ConfigError: `dst` lies in a data set, or the other way round.
    """
    from rspnet.data.index import USABLE

    taken: dict[str, str] = {}
    roots: set[str] = set()
    for row in rows:
        if row["root"] not in roots:
            roots.add(row["root"])
            check_apart(row["root"], dst)
            copy_lists(row["root"], dst, layout)
        if row["status"] not in USABLE:
            yield row, None
            continue
        target = os.path.splitext(os.path.normpath(row["video"]))[0] + ".mp4"
        source = os.path.join(row["root"], row["video"])
        if os.path.isabs(target) or target.startswith(".."):
            yield row | {"status": FAILED, "reason": "its path leads out of its root"}, None
        elif (other := taken.setdefault(target, source)) != source:
            yield row | {"status": FAILED, "reason": f"{other} becomes {target} as well; rename one"}, None
        else:
            if (folder := os.path.dirname(os.path.join(dst, target))) not in folders:
                folders.add(folder)
                sweep(folder)
            yield row, target


def check_apart(root: str, dst: str) -> None:
    """Refuse to write among the sources.

    Raises:
        ConfigError: one folder holds the other.
    """
    folders = os.path.realpath(root), os.path.realpath(dst)
    if os.path.commonpath(folders) in folders:
        raise ConfigError(f"{dst}: lies in {root}, or that in it; give a folder beside it")


def copy_lists(root: str, dst: str, layout: str) -> None:
    """Copy the official lists of a data set, with what text lies beside them (classInd.txt)."""
    from rspnet.data import layouts

    try:
        lists = layouts.list_files(root, layouts.detect(root) if layout == "auto" else layout)
    except ConfigError:
        return  # an index of videos that are in no known order
    for folder in sorted({os.path.dirname(path) for path in lists}):
        with writing_to(os.path.join(dst, folder)):
            os.makedirs(os.path.join(dst, folder), exist_ok=True)
            for entry in os.scandir(os.path.join(root, folder)):
                if entry.is_file() and entry.name.endswith((".txt", ".json", ".csv")):
                    with whole(os.path.join(dst, folder, entry.name)) as copy:
                        shutil.copy(entry.path, copy)


def transcode_row(task: tuple[Row, str], dst: str, recipe: dict[str, Any]) -> tuple[Row, bool] | DiskError:
    """The row of the new file, or the old one with what is wrong, and whether the file was made just now.

    Where the disk takes no more, what is to be said of it.

    Called in a worker process.
    """
    from rspnet.video.inspection import inspect
    from rspnet.video.writer import read_comment, transcode

    row, target = task
    source, path = os.path.join(row["root"], row["video"]), os.path.join(dst, target)
    new = {"video": target, "root": dst, "status": "ok", "reason": None, "source": source, "recipe": recipe}
    try:
        comment = json.dumps({"video": row["video"], "bytes": os.path.getsize(source), "recipe": recipe})
        if os.path.exists(path):
            made = read_comment(path)
            if made == comment and (kept := inspect(path, "decode"))["status"] == "ok":
                return row | kept | new, False
            if not made.startswith('{"video": '):
                raise VideoError(f"{path}: is there already, and not from this stage; remove it")
        options = {name: value for name, value in recipe.items() if name != "codec"}
        return row | transcode(source, path, **options, comment=comment) | new, True
    except DiskError as error:
        return error
    except (VideoError, ConfigError, OSError) as error:
        found = inspect(source, depth="decode")
        if found["status"] == "ok":  # then it is the writing that failed
            found |= {"status": FAILED, "reason": str(error)}
        return row | found, False


def outcome(task: tuple[Row, str], result: Any) -> tuple[Row, bool]:
    """What a worker returned, or the row with why it could not."""
    if isinstance(result, DiskError):
        raise result  # all that follow would fail as well, and the same command goes on from here
    if isinstance(result, tuple):
        return result
    row, _ = task
    status = {"timeout": "timeout", "crash": "crashed", "error": FAILED}[result.kind]
    return row | {"status": status, "reason": result.text}, False


class Tally:
    """Counts rows as they pass through."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NUMBERS, 0)
        self.bytes = {"source": 0, "new": 0}
        self.bad: list[str] = []

    def __call__(self, ends: Iterable[tuple[Row, Row, bool]]) -> Iterator[Row]:
        """Yield the new rows; comes with the old ones, and whether the file was made just now."""
        for old, new, made in ends:
            is_lost = new["status"] == FAILED or (old["status"] == "ok" and new["status"] != "ok")
            self.counts["num_videos"] += 1
            if new["status"] == "ok":
                self.counts["num_made" if made else "num_kept"] += 1
                before = os.path.getsize(new["source"])
                self.bytes["source"] += before
                self.bytes["new"] += new["bytes"]
                self.counts["num_larger"] += new["bytes"] > before
            elif new is old and not is_lost:
                self.counts["num_skipped"] += 1
            else:
                self.counts["num_lost" if is_lost else "num_bad"] += 1
                self.bad.append(f"{new['video']}: {new['status']}: {new['reason']}")
            yield new

    def summary(self) -> dict[str, Any]:
        """How many were made now, kept, grew, skipped as their row says, found bad, good but lost; bytes; names."""
        return self.counts | {"bytes": self.bytes, "bad": self.bad[:NUM_NAMED]}


def report(summary: dict[str, Any]) -> Iterator[str]:
    """The summary in a few lines."""
    source, new = (summary["bytes"][key] / 1e6 for key in ("source", "new"))
    made, kept = summary["num_made"], summary["num_kept"]
    counts = f"{console.some(made, 'video')} made, {kept} were there"
    yield f"{summary['dst']}: {counts}; {new:.1f} MB in all, from {source:.1f} MB"
    if new > source:
        recipe, grown = summary["recipe"], console.some(summary["num_larger"], "file")
        yield (
            f"that is {new / source:.2f} times as much, and {grown} grew: the sources are small already, and a key "
            f"frame every {recipe['gop']} frames and crf {recipe['crf']:g} cost more than what they had; higher "
            "--crf (published: 23) or --gop, or a lower --short_side, make smaller files; or train from the sources"
        )
    others = {"not ok from the start": "num_skipped", "found to be bad": "num_bad", "good but lost": "num_lost"}
    if text := ", ".join(f"{summary[key]} {what}" for what, key in others.items() if summary[key]):
        yield f"of {console.some(summary['num_videos'], 'video')}, {text}"
    yield from summary["bad"]
    if (more := summary["num_bad"] + summary["num_lost"] - len(summary["bad"])) > 0:
        yield f"... and {more} more"


if __name__ == "__main__":
    run(main, Config)
