"""Warn of video lengths and frame rates that make playback speeds hard to recognise: no metric of a run shows them."""

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
"""Number of headers that are read at most where the index lacks frame counts; they take a second or so."""

MANY = 0.1
"""Share of the videos that may be shorter than a pretraining clip before a shorter clip is suggested."""

RATES = 1.5
"""How many times the frame rate of slow videos that of fast ones may be before a warning: halfway to double speed."""

SECONDS = 5.0
"""Time limit for reading one header, or `ClipDataset.time_limit` if that is less, because the run waits for it."""

Known = Counter[tuple[int | None, Any]]
"""(frames, frames per second), None where unknown -> number of videos that have these."""


def tell_short(clips: ClipDataset, videos: str, known: Known | None = None) -> None:
    """Report how many of the videos are shorter than a clip, if any are; from the main process only.

    Args:
        clips: the videos, and the clips that are taken from them.
        videos: what the message calls them, such as "test videos".
        known: the result of `known_of`; computed if None.
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
            say(f"a looped clip reveals little of its speed: {_shorter(clips.picker, lengths)}")


def _fewer_than(span: int, lengths: Counter[int]) -> int:
    """Return how many videos have fewer frames than `span`."""
    return sum(number for length, number in lengths.items() if length < span)


def _shorter(picker: Picker, lengths: Counter[int]) -> str:
    """Return options that make the clip just short enough for most of the videos (stride first), or that none does."""
    sizes = [picker.num_frames, *([8] if picker.num_frames > 8 else [])]  # some networks do not accept fewer
    strides = range(picker.stride if picker.sampling == "clip" else 1, 0, -1)
    for size, stride in itertools.product(sizes, strides):
        span, _ = clip_span(dataclasses.replace(picker, num_frames=size, stride=stride))
        short = _fewer_than(span, lengths)
        if short <= MANY * lengths.total():
            changed = f"--clips.num_frames {size} " * (size < picker.num_frames)
            changed += f"--clips.stride {stride} " * (stride < picker.stride)
            is_ = "is" if short == 1 else "are"
            return f"{changed}makes it {span} frames, for which {short or 'none'} of the videos {is_} too short"
    return f"no clip of {sizes[-1]} frames is short enough for {1 - MANY:.0%} of the videos"


def tell_speeds(clips: ClipDataset) -> None:
    """Warn if lengths or frame rates make speeds hard to recognise in pretraining; from the main process only."""
    if is_main():
        known = known_of(clips)
        tell_short(clips, "videos", known)
        tell_rates(clips, known)


def tell_rates(clips: ClipDataset, known: Known | None = None) -> None:
    """Warn if frame rates differ so much that one video at normal speed moves like another at a higher speed."""
    if not is_main() or clips.frame_rate:
        return
    rates = columns(clips.index, ["fps"])["fps"].drop_null()
    if not len(rates):  # the index of a folder, which has none
        known = known_of(clips) if known is None else known
        rates = pa.array([fps for _, fps in known.elements() if fps], pa.float64())
    if not len(rates):
        return
    slow, fast = pc.quantile(rates, [MANY, 1 - MANY], interpolation="nearest").to_pylist()
    if fast > RATES * slow > 0:
        say(
            f"frame rates differ: {slow:g} a second or less in {MANY:.0%} of the videos, {fast:g} or more in another "
            f"{MANY:.0%}; a speed counts frames, not seconds: --clips.frame_rate {slow:g} resamples all to one rate"
        )


def tell_long_queue(queue_length: int, num_videos: int) -> None:
    """Warn if the queue is longer than the data, so that it holds clips which are no negatives."""
    if queue_length > num_videos:
        say(
            f"the queue of {queue_length} is longer than the data: other clips of the query's own video are in it",
            "as negatives; consider a shorter pretext.queue_length",
        )


def clip_span(picker: Picker) -> tuple[int, str]:
    """Return how many frames a clip spans, and a description of that: ``32 frames (16 at speed 2)``."""
    size = picker.num_frames * picker.top_speed
    span = size if picker.sampling == "cover" else sampling.clip_span(size, picker.stride)
    apart = f", {picker.stride} apart" if picker.stride > 1 else ""
    speed = f" at speed {picker.top_speed}" if picker.top_speed > 1 else ""
    return span, f"{span} frames" + (f" ({picker.num_frames}{apart}{speed})" if apart or speed else "")


def frame_counts(clips: ClipDataset, known: Known) -> Counter[int]:
    """Return number of frames at the clips' frame rate -> number of videos; videos of unknown length are left out."""
    lengths: Counter[int] = Counter()
    for (frames, fps), number in known.items():
        if frames is not None and (fps or not clips.frame_rate):
            with suppress(ValueError):  # an impossible length, which reading the video will report
                lengths[len(sampling.resample(frames, fps, clips.frame_rate))] += number
    return lengths


def known_of(clips: ClipDataset) -> Known:
    """Return the known frame counts and frame rates, each pair with the number of videos that have it.

    If the index lacks them for some videos, the headers of up to `LOOKED_AT` of these are read.
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
        if is_remote(row["root"]):  # fetching them all would take too long
            continue
        facts = inspect(Path(row["root"]) / row["video"], "probe", time_limit=min(SECONDS, clips.time_limit))
        about = round(facts["duration"] * facts["fps"]) if facts["duration"] and facts["fps"] else None
        known[facts["num_frames"] or about, facts["fps"]] += 1
    return known
