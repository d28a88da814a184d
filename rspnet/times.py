"""When frames are shown: a file's own times, set against what its header promises.

A browser's recording promises 1000 frames per second (the tick of its clock), a capture program's leaves out frames
that it had no time for, and writers repeat times or set their clock back. The times themselves tell how fast a video
plays and how long; the promise is kept where it fits them, as it is exact and they are rounded.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import heappush, heappushpop
from typing import Any

import numpy as np
from av.video.stream import VideoStream

MAX_REORDERING = 16
"""Frames, at most, that a decoder holds back to put them in order (H.264, HEVC)."""

_BACK = 5  # seconds that times may go back by from packet to packet, where pictures are stored out of order
_AHEAD = 86400  # seconds; no picture stands for a day: the clock was set, or is broken
_TICKS = 240  # frames per second beyond which a rate that equals the clock's is only the clock's


@dataclass(frozen=True, eq=False)
class Pace:
    """How fast a video plays. N frames.

    Attributes:
        rate: average frames per second; 0 where nothing tells.
        seconds: from the first frame to the end of the last; None where nothing tells.
        moments: int64 (N + 1,), milliseconds, when each frame is shown and when the last one ends; None where frame n
            is shown at n / rate, give or take a frame.
    """

    rate: Fraction
    seconds: float | None
    moments: np.ndarray | None = None


def promised_rate(stream: VideoStream) -> Fraction:
    """Average frames per second as the header says or the first packets suggest; 0 where neither means anything."""
    if stream.container.format.name == "gif":
        return Fraction(0)  # each picture of which says how long it stands
    rate = Fraction(stream.average_rate or stream.guessed_rate or 0)
    return Fraction(0) if rate > _TICKS and rate * Fraction(stream.time_base) >= 1 else rate


def pace_in_header(stream: VideoStream, format_name: str) -> Pace:
    """How fast a video plays as far as can be told without reading it: by the table of its packets, where it has one.

    Args:
        stream: the video stream, just opened.
        format_name: what libavformat calls the container.
    """
    timeline, shown = Timeline(stream, format_name), []
    entries = stream.index_entries
    if len(entries) > 1 and _is_whole(stream, format_name):
        for number, entry in enumerate(entries):
            timeline.note(None, entry.timestamp, None, entry.size)
            if entry.size and not entry.is_discard:
                shown.append(number)
    pace, told = timeline.pace(shown), timeline.promised_seconds
    return replace(pace, seconds=told or pace.seconds)


def _is_whole(stream: VideoStream, format_name: str) -> bool:
    """Whether the table of packets is all there: a fragmented mp4 gives it in pieces, a cut avi has lost its own."""
    if format_name == "avi":  # whose header counts empty packets, and its table does not
        return stream.index_entries[len(stream.index_entries) - 1].timestamp >= stream.frames * 0.9
    return "mp4" in format_name and len(stream.index_entries) == stream.frames


class Timeline:
    """Takes note of the times of a stream's packets, in the order of the file.

    Args:
        stream: the video stream; its unit is that of all times here.
        format_name: what libavformat calls the container.
    """

    def __init__(self, stream: VideoStream, format_name: str) -> None:
        self.unit = Fraction(stream.time_base)
        self.promise = promised_rate(stream)
        self.promised_seconds = float(stream.duration * self.unit) if stream.duration else None
        # avi keeps no times: a packet's place is its time of decoding, and what else is made up is wrong for B-frames.
        self._has_times = format_name != "avi"
        self._packets: list[tuple[int | None, int | None, int]] = []
        self._offset = self._step = 0
        self._last: int | None = None

    def note(self, shown: int | None, decoded: int | None, duration: int | None, size: int) -> None:
        """The next packet's pts, dts, duration and size. An empty one only lets time pass."""
        mark = shown if decoded is None else decoded
        if mark is not None:
            self._follow(mark)
        shown, decoded = (None if time is None else time + self._offset for time in (shown, decoded))
        self._has_times &= shown is not None or not size
        self._packets.append((shown, decoded, duration or 0))

    def _follow(self, mark: int) -> None:
        """Mind clocks that are set back or far ahead: what follows goes on from where it was."""
        mark += self._offset
        if self._last is not None:
            ahead = mark - self._last
            if not -_BACK <= ahead * self.unit <= _AHEAD:
                self._offset += self._step - ahead
                mark = self._last + self._step
            elif ahead > 0:
                self._step = ahead
        self._last = mark

    def time(self, number: int | None) -> int | None:
        """Of a frame, by its packet's number, before `in_order`; None where the file does not say."""
        if number is None:
            return None
        return self._packets[number][not self._has_times]

    def pace(self, shown: Iterable[int | None]) -> Pace:
        """How fast the frames follow each other.

        Args:
            shown: the number of the packet that each frame came from, in display order.
        """
        shown = list(shown)
        times, count = [self.time(number) for number in shown], len(shown)
        if count < 2 or None in times or max(times) == min(times):
            return Pace(self.promise, self.promised_seconds or (float(count / self.promise) if self.promise else None))
        ticks = np.array([time for time, _ in in_order((time, None) for time in times)])
        first = int(ticks[0])
        span = (int(ticks.max()) - first) * self.unit
        seconds = span + self._last_frame(ticks, shown) * self.unit
        step = span / (count - 1)
        # Times are rounded; and an avi with B-frames starts with the delay of its encoder, two empty packets at most.
        slack = Fraction(102, 100) + 2 * (not self._has_times and shown != sorted(shown))
        rate = (count / seconds).limit_denominator(10**6)
        if self.promise:
            miss = abs((count - 1) / self.promise - span)
            if miss <= slack * min(step, 1 / self.promise) and miss * 10 <= span:
                rate = self.promise
        told = self.promised_seconds
        fits = told is not None and abs(told - float(seconds)) <= float(step)
        moments, away = None, np.abs((ticks - first) * float(self.unit * rate) - np.arange(count))
        if away.max() > slack:
            ends = np.append(ticks - first, float(seconds / self.unit))
            moments = np.maximum.accumulate(np.rint(ends * float(self.unit * 1000)).astype(np.int64))
        return Pace(rate, told if fits else float(seconds), moments)

    def _last_frame(self, ticks: np.ndarray, shown: list[int]) -> int:
        """Units that the last frame stands for: as its packet says, or where that is but a tick, as the one before."""
        steps = np.diff(np.unique(ticks))
        packets = [self._packets[number] for number in shown] if self._has_times else self._packets
        ends = [time + packet[2] for packet in packets if (time := packet[not self._has_times]) is not None]
        said = max(ends) - int(ticks.max())
        return said if said * 2 >= np.median(steps) else int(steps[-1])


def in_order(frames: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Give frames, which come in display order, their times in rising order: those of decoding come in another."""
    waiting: deque[Any] = deque()
    times: list[int] = []
    for time, frame in frames:
        waiting.append(frame)
        if len(waiting) > MAX_REORDERING:
            yield heappushpop(times, time), waiting.popleft()
        else:
            heappush(times, time)
    for time, frame in zip(sorted(times), waiting):
        yield time, frame
