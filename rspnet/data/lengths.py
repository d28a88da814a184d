"""What of the videos' lengths and frame rates makes speeds hard to tell: no number of a run would show it."""

import dataclasses
import itertools
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rspnet.console import is_main, say
from rspnet.data import sampling
from rspnet.data.clip_dataset import ClipDataset
from rspnet.data.index import columns
from rspnet.data.picker import Picker
from rspnet.data.remote import is_remote
from rspnet.video.inspection import inspect

LOOKED_AT = 200
"""Videos whose headers are read where the index does not know their frames: a second or so."""

MANY = 0.1
"""Share of the videos that may be shorter than a pretraining's clip before a shorter clip is proposed."""

RATES = 1.5
"""How many times the frames a second of slow videos fast ones may have before it is said: halfway to double speed."""

SECONDS = 5.0
"""That each of these may take, or `ClipDataset.time_limit` where that is less: the run waits for them."""

Known = Counter[tuple[int | None, Any]]
"""Frames and frames a second of videos -> how many have these."""


def tell_short(clips: ClipDataset, videos: str, known: Known | None = None) -> None:
    """Say how many of the videos are shorter than a clip, if there are any; from the main process only.

    Args:
        clips: their index, and what is taken from them.
        videos: what to call them, such as "test videos".
        known: what `known_of` found; None: it is looked for.
    """
    if not is_main():
        return
    lengths = frame_counts(clips, known_of(clips) if known is None else known)
    span, described = clip_span(clips.picker)
    if short := _fewer_than(span, lengths):
        seen, total = lengths.total(), len(clips.index)
        of = f"{total} {videos}" if seen == total else f"{seen} {videos} looked at (there are {total})"
        rate = f" at {clips.frame_rate:g} frames a second" if clips.frame_rate else ""
        closer = (
            f", or {'its' if short == 1 else 'their'} frames lie closer together" if clips.picker.stride > 1 else ""
        )
        is_ = "is" if short == 1 else "are"
        say(f"{short} of {of} {is_} shorter than a clip of {described}{rate}, and {is_} looped{closer}")
        if clips.picker.top_speed > 1 and short > MANY * seen:
            say(f"a looped clip tells little of its speed: {_shorter(clips.picker, lengths)}")


def _fewer_than(span: int, lengths: Counter[int]) -> int:
    """How many videos have fewer frames than that."""
    return sum(number for length, number in lengths.items() if length < span)


def _shorter(picker: Picker, lengths: Counter[int]) -> str:
    """Options that make the clip short enough for most of the videos, as long as can be; or that nothing does."""
    sizes = [picker.num_frames, *([8] if picker.num_frames > 8 else [])]  # fewer some networks do not take
    strides = range(picker.stride if picker.sampling == "clip" else 1, 0, -1)
    for size, stride in itertools.product(sizes, strides):
        span, _ = clip_span(dataclasses.replace(picker, num_frames=size, stride=stride))
        short = _fewer_than(span, lengths)
        if short <= MANY * lengths.total():
            changed = f"--clips.num_frames {size} " * (size < picker.num_frames)
            changed += f"--clips.stride {stride} " * (stride < picker.stride)
            is_ = "is" if short == 1 else "are"
            return f"{changed}makes it {span} frames, for which {short or 'none'} of them {is_} too short"
    return f"no clip of {sizes[-1]} frames is short enough for {1 - MANY:.0%} of them"


def tell_speeds(clips: ClipDataset) -> None:
    """Say what makes the speeds of a pretraining's videos hard to tell; from the main process only."""
    if is_main():
        known = known_of(clips)
        tell_short(clips, "videos", known)
        tell_rates(clips, known)


def tell_rates(clips: ClipDataset, known: Known | None = None) -> None:
    """Say it where frame rates differ so much that one video at normal speed moves as another at a higher one."""
    if not is_main() or clips.frame_rate:
        return
    rates = columns(clips.index, ["fps"])["fps"].drop_null()
    if not len(rates):  # a folder's
        known = known_of(clips) if known is None else known
        rates = pa.array([fps for _, fps in known.elements() if fps], pa.float64())
    if not len(rates):
        return
    slow, fast = pc.quantile(rates, [MANY, 1 - MANY], interpolation="nearest").to_pylist()
    if fast > RATES * slow > 0:
        say(
            f"frame rates differ, {slow:g} a second or less and {fast:g} or more in {MANY:.0%} of the videos each: a "
            f"speed counts frames, not seconds; --clips.frame_rate {slow:g} resamples all to one rate"
        )


def tell_long_queue(queue_length: int, num_videos: int) -> None:
    """Say it where the queue holds what is no negative."""
    if queue_length > num_videos:
        say(
            f"the queue of {queue_length} is longer than the data: other clips of the query's own video are in it",
            "as negatives; consider a shorter pretext.queue_length",
        )


def clip_span(picker: Picker) -> tuple[int, str]:
    """The frames that a clip reaches over, and how it does in words: ``32 frames (16 at speed 2)``."""
    size = picker.num_frames * picker.top_speed
    span = size if picker.sampling == "cover" else sampling.clip_span(size, picker.stride)
    apart = f", {picker.stride} apart" if picker.stride > 1 else ""
    speed = f" at speed {picker.top_speed}" if picker.top_speed > 1 else ""
    return span, f"{span} frames" + (f" ({picker.num_frames}{apart}{speed})" if apart or speed else "")


def frame_counts(clips: ClipDataset, known: Known) -> Counter[int]:
    """Frames, at the clips' frame rate -> number of videos that have so many; those of unknown length left out."""
    lengths: Counter[int] = Counter()
    for (frames, fps), number in known.items():
        if frames is not None and (fps or not clips.frame_rate):
            with suppress(ValueError):  # a length that is none, which reading it will say
                lengths[len(sampling.resample(frames, fps, clips.frame_rate))] += number
    return lengths


def known_of(clips: ClipDataset) -> Known:
    """Frames and frames a second -> number of videos, of those that are known.

    Where the index does not know the frames of all, headers of up to `LOOKED_AT` of the others are read.
    """
    table, rate = columns(clips.index, ["num_frames", "fps"]), clips.frame_rate
    lacks = pc.is_null(table["num_frames"])
    if rate:
        lacks = pc.or_(lacks, pc.equal(pc.fill_null(table["fps"], 0.0), 0.0))
    told = table.filter(pc.invert(lacks)).group_by(table.column_names).aggregate([([], "count_all")])
    known = Counter({(each["num_frames"], each["fps"]): each["count_all"] for each in told.to_pylist()})
    unknown = pc.indices_nonzero(lacks).to_pylist()
    for place in np.linspace(0, len(unknown) - 1, min(len(unknown), LOOKED_AT)).round().astype(int):
        row = clips.index[unknown[place]]
        if is_remote(row["root"]):  # to fetch them all would take its time
            continue
        facts = inspect(Path(row["root"]) / row["video"], "probe", time_limit=min(SECONDS, clips.time_limit))
        about = round(facts["duration"] * facts["fps"]) if facts["duration"] and facts["fps"] else None
        known[facts["num_frames"] or about, facts["fps"]] += 1
    return known
